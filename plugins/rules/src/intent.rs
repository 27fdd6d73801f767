//! Determines what a question asks for, from cue words.

use crate::words::Word;

/// What a question asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Intent {
    /// A fact: who, what, when, how much.
    Factual,
    /// Reasons, effects, a judgement.
    Analytical,
    /// Several things side by side.
    Comparative,
    /// How to do something.
    Procedural,
    /// Whether something is so.
    Verification,
    /// A view of a subject.
    Exploratory,
}

impl Intent {
    /// Returns the name that the API knows.
    pub fn name(self) -> &'static str {
        match self {
            Self::Factual => "factual",
            Self::Analytical => "analytical",
            Self::Comparative => "comparative",
            Self::Procedural => "procedural",
            Self::Verification => "verification",
            Self::Exploratory => "exploratory",
        }
    }
}

/// Phrases that indicate an intent, each with the intent and the confidence (0 to 1). A `^` means the question's start. The one with the
/// highest confidence counts, of equal ones the first.
#[rustfmt::skip]
const CUES: [(Intent, f32, &str); 13] = [
    (Intent::Comparative, 0.95, "compare|compared to|compared with|comparison|versus|vs|difference between|differences between|differ from|differ|similarities between|vergleiche|vergleich|unterschied zwischen|unterschiede zwischen|comparer|comparez|diff\u{e9}rence entre|compara|comparar|diferencia entre|confronta|differenza tra|verschil tussen|diferen\u{e7}a entre|сравни|сравните|разница между"),
    (Intent::Procedural, 0.9, "how to|how do i|how do we|how do you|how can i|how can we|how can one|how should i|how should we|^how does one|steps to|steps for|step by step|instructions|instructions for|procedure for|walk me through|guide to|wie kann ich|wie kann man|wie mache ich|wie richte ich|schritte|comment faire|comment puis-je|c\u{f3}mo puedo|c\u{f3}mo se|come posso|come si fa|hoe kan ik|como posso|как сделать|как мне"),
    (Intent::Verification, 0.9, "is it true|true or false|is it correct|verify|verify that|confirm that|confirm whether|check whether|stimmt es|est-il vrai|es cierto|\u{e8} vero|klopt het|\u{e9} verdade|правда ли"),
    (Intent::Analytical, 0.85, "why|explain why|explain how|what caused|what causes|what drove|what drives|what explains|reason for|reasons for|impact of|effect of|effects of|affect|implications|analyze|analyse|analysis of|evaluate|assess|how did|root cause|trade-offs|warum|weshalb|wieso|analysiere|pourquoi|analysez|por qu\u{e9}|analiza|perch\u{e9}|analizza|waarom|por que|почему|зачем"),
    (Intent::Exploratory, 0.85, "tell me about|overview|summarize|summarise|summary|describe|discuss|explore|introduction to|what are the main|what are the key|key themes|main topics|what do you know about|learn about|everything about|give me an idea|\u{fc}berblick|fasse|zusammenfassung|beschreibe|r\u{e9}sum\u{e9}|r\u{e9}sumez|d\u{e9}crivez|parlez-moi|resumen|resume|describe|riassumi|descrivi|overzicht|samenvatting|resumo|descreva|расскажи|расскажите|опиши"),
    (Intent::Factual, 0.82, "^was ist|^was sind|^was war|^was waren|^was kostet"),
    (Intent::Verification, 0.8, "^is|^are|^was|^were|^does|^do|^did|^has|^have|^had|^can|^could|^will|^would|^should|^isn't|^doesn't|^didn't|^ist|^sind|^war|^hat|^haben|^gibt es|^kann|^est-ce|^est-ce que|^heeft"),
    (Intent::Factual, 0.8, "how many|how much|^who|^when|^where|^which|what year|what date|^wer|^wann|^wo|wie viel|wie viele|wie hoch|combien|^qui|^quand|cu\u{e1}nto|cu\u{e1}ntos|^qui\u{e9}n|quanto|quanti|^chi|hoeveel|^wie is|quantos|^quem|сколько|^кто|^когда|^где"),
    (Intent::Comparative, 0.75, "better than|worse than|higher than|lower than|larger than|smaller than|more than|less than|which of|pros and cons|besser als|h\u{f6}her als|mejor que|mieux que"),
    (Intent::Exploratory, 0.75, "list|outline"),
    (Intent::Analytical, 0.7, "explain|trend|trends|outlook|risks|what does it mean|how does|how is|how has|how have|interpret|erkl\u{e4}re|expliquez|explica|spiega|leg uit|explique|объясни"),
    (Intent::Factual, 0.7, "^what|^what's|^was|^welche|^welcher|^quel|^quelle|^cu\u{e1}l|^qual|^quale|^wat|^welk|^какой|^какова|^что"),
    (Intent::Procedural, 0.65, "set up|install|configure|troubleshoot"),
];

/// Phrases in scripts without spaces, or in agglutinative languages: matched anywhere.
const ANYWHERE: [(Intent, &[&str]); 5] = [
    (
        Intent::Comparative,
        &[
            "\u{6bd4}\u{8f83}",
            "\u{533a}\u{522b}",
            "\u{6bd4}\u{8f03}",
            "\u{9055}\u{3044}",
            "\u{be44}\u{ad50}",
            "\u{cc28}\u{c774}",
            "\u{642}\u{627}\u{631}\u{646}",
            "\u{627}\u{644}\u{641}\u{631}\u{642}",
        ],
    ),
    (
        Intent::Procedural,
        &[
            "\u{5982}\u{4f55}",
            "\u{600e}\u{4e48}\u{505a}",
            "\u{65b9}\u{6cd5}",
            "\u{3084}\u{308a}\u{65b9}",
            "\u{65b9}\u{bc95}",
            "\u{bc29}\u{bc95}",
            "\u{643}\u{64a}\u{641} \u{64a}\u{645}\u{643}\u{646}",
        ],
    ),
    (
        Intent::Analytical,
        &[
            "\u{4e3a}\u{4ec0}\u{4e48}",
            "\u{70ba}\u{4ec0}\u{9ebc}",
            "\u{306a}\u{305c}",
            "\u{539f}\u{56e0}",
            "\u{c65c}",
            "\u{644}\u{645}\u{627}\u{630}\u{627}",
        ],
    ),
    (
        Intent::Exploratory,
        &[
            "\u{4ecb}\u{7ecd}",
            "\u{6982}\u{8ff0}",
            "\u{8981}\u{7d04}",
            "\u{6982}\u{8981}",
            "\u{c694}\u{c57d}",
            "\u{644}\u{62e}\u{635}",
        ],
    ),
    (
        Intent::Verification,
        &[
            "\u{662f}\u{5426}",
            "\u{5417}",
            "\u{672c}\u{5f53}",
            "\u{5b9f}\u{969b}",
            "\u{647}\u{644} ",
        ],
    ),
];

/// Returns what a question asks for, and the confidence (0 to 1).
pub fn intent(query: &str, words: &[Word]) -> (Intent, f32) {
    let text: String = words.iter().flat_map(|word| [" ", word.lower.as_str()]).chain([" "]).collect();
    let holds = |cue: &str| match cue.strip_prefix('^') {
        Some(start) => text
            .strip_prefix(' ')
            .and_then(|text| text.strip_prefix(start))
            .is_some_and(|rest| rest.starts_with(' ')),
        None => text.match_indices(cue).any(|(at, _)| {
            let is_space = |byte: Option<&u8>| byte == Some(&b' ');
            at.checked_sub(1).is_some_and(|before| is_space(text.as_bytes().get(before))) && is_space(text.as_bytes().get(at + cue.len()))
        }),
    };
    let mut best = (Intent::Factual, 0.5);
    for (intent, sure, cues) in CUES {
        if sure > best.1 && cues.split('|').any(&holds) {
            best = (intent, sure);
        }
    }
    if best.1 <= 0.5
        && let Some((intent, _)) = ANYWHERE.iter().find(|(_, cues)| cues.iter().any(|cue| query.contains(cue)))
    {
        best = (*intent, 0.7);
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::words::words;

    #[test]
    fn intents() {
        for (query, expected) in [
            ("What is the FY2022 revenue of Acme?", Intent::Factual),
            ("How much did it cost?", Intent::Factual),
            ("Who is the CEO?", Intent::Factual),
            ("Acme revenue", Intent::Factual),
            ("Why did margins fall in 2022?", Intent::Analytical),
            ("What drove the change in gross margin?", Intent::Analytical),
            ("How did inflation affect costs?", Intent::Analytical),
            ("Compare Acme and Bolt", Intent::Comparative),
            ("Postgres vs. SQLite for embedded use", Intent::Comparative),
            ("Is A better than B?", Intent::Verification),
            ("What is the difference between a lease and a rental?", Intent::Comparative),
            ("How do I reset my password?", Intent::Procedural),
            ("Steps to install the server", Intent::Procedural),
            ("Does Acme pay dividends?", Intent::Verification),
            ("Is it true that sales fell?", Intent::Verification),
            ("Tell me about the supply chain", Intent::Exploratory),
            ("Summarize the risk factors", Intent::Exploratory),
            ("Warum ist der Umsatz gesunken?", Intent::Analytical),
            ("Was ist der Unterschied zwischen A und B?", Intent::Comparative),
            ("\u{4e3a}\u{4ec0}\u{4e48}\u{6536}\u{5165}\u{4e0b}\u{964d}?", Intent::Analytical),
            ("", Intent::Factual),
        ] {
            assert_eq!(intent(query, &words(query)).0, expected, "{query}");
        }
    }

    #[test]
    fn a_cue_is_a_whole_word() {
        assert_eq!(intent("canvas listing", &words("canvas listing")), (Intent::Factual, 0.5));
    }
}
