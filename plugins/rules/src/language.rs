//! Determines the language of a question, from its script and its most frequent words.

use crate::words::Word;

/// Common words by language. They differ enough to recognise the language of a short question.
const COMMON: [(&str, &str); 7] = [
    (
        "en",
        "the of and is are was were what which who how why when where does do did in to for from with by on a an this that have has can should would",
    ),
    (
        "de",
        "der die das und ist sind war waren was welche welcher wer wie warum wann wo im in zu f\u{fc}r von mit auf ein eine einen den dem des nicht hat haben gibt zwischen",
    ),
    (
        "fr",
        "le la les de du des et est sont \u{e9}tait quel quelle quels quelles qui que comment pourquoi quand o\u{f9} dans pour avec sur un une au aux entre l'entreprise",
    ),
    (
        "es",
        "el la los las de del y es son fue cu\u{e1}l cu\u{e1}les qu\u{e9} qui\u{e9}n c\u{f3}mo por para cu\u{e1}ndo d\u{f3}nde en con un una entre cu\u{e1}nto cu\u{e1}ntos su",
    ),
    (
        "it",
        "il lo la gli le di del della dei e \u{e8} sono era qual quale quali chi che come perch\u{e9} quando dove in per con un una tra nel nella quanto",
    ),
    (
        "nl",
        "de het een en is zijn was waren wat welke wie hoe waarom wanneer waar in voor van met op tot niet heeft hebben tussen hoeveel",
    ),
    (
        "pt",
        "o a os as de do da dos das e \u{e9} s\u{e3}o foi qual quais quem que como por para quando onde em no na com um uma entre quanto",
    ),
];

/// Returns the BCP 47 tag of the question's language, if it can be determined.
pub fn language(query: &str, words: &[Word]) -> Option<&'static str> {
    by_script(query).or_else(|| by_words(words))
}

fn by_script(query: &str) -> Option<&'static str> {
    let (mut letters, mut kana, mut han, mut hangul, mut arabic, mut cyrillic) = (0, 0, 0, 0, 0, 0);
    for character in query.chars().filter(|character| character.is_alphabetic()) {
        letters += 1;
        match character {
            '\u{3040}'..='\u{30ff}' => kana += 1,
            '\u{3400}'..='\u{9fff}' | '\u{20000}'..='\u{3134f}' => han += 1,
            '\u{1100}'..='\u{11ff}' | '\u{ac00}'..='\u{d7af}' => hangul += 1,
            '\u{600}'..='\u{6ff}' | '\u{750}'..='\u{77f}' => arabic += 1,
            '\u{400}'..='\u{4ff}' => cyrillic += 1,
            _ => {}
        }
    }
    // A question may contain a name in another script, but not consist mostly of it.
    let is_main = |count: usize| count * 3 > letters;
    if is_main(kana + han) {
        return Some(if kana > 0 { "ja" } else { "zh" });
    }
    [("ko", hangul), ("ar", arabic), ("ru", cyrillic)]
        .into_iter()
        .find(|(_, count)| is_main(*count))
        .map(|(tag, _)| tag)
}

fn by_words(words: &[Word]) -> Option<&'static str> {
    let hits = COMMON.map(|(tag, common)| {
        let known = |word: &&Word| common.split(' ').any(|other| other == word.lower);
        (words.iter().filter(known).count(), tag)
    });
    let best = hits.iter().map(|(count, _)| *count).max().filter(|count| *count > 0)?;
    let mut with_best = hits.iter().filter(|(count, _)| *count == best);
    let found = with_best.next().map(|(_, tag)| *tag);
    found.filter(|_| with_best.next().is_none())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::words::words;

    #[test]
    fn languages() {
        for (query, expected) in [
            ("What is the revenue of Acme?", Some("en")),
            ("Wie hoch war der Umsatz im Jahr 2022?", Some("de")),
            ("Quel est le chiffre d'affaires en 2022 ?", Some("fr")),
            ("\u{bf}Cu\u{e1}les son los ingresos de la empresa?", Some("es")),
            ("Quali sono i ricavi della societ\u{e0} nel 2022?", Some("it")),
            ("Wat was de omzet van het bedrijf?", Some("nl")),
            ("Qual foi a receita da empresa em 2022?", Some("pt")),
            ("Какова выручка компании?", Some("ru")),
            ("公司的收入是多少?", Some("zh")),
            ("会社の売上はいくらですか?", Some("ja")),
            ("회사의 매출은 얼마입니까?", Some("ko")),
            ("ما هي إيرادات الشركة؟", Some("ar")),
            ("Acme revenue 2022", None),
            ("", None),
        ] {
            assert_eq!(language(query, &words(query)), expected, "{query}");
        }
    }
}
