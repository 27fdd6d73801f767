use super::*;
use proptest::prelude::*;

fn whole(file: &[u8]) -> impl FnMut(u64) -> Vec<u8> {
    |at| file.get(at as usize..).unwrap_or_default().to_vec()
}

fn check(file: &[u8], expected: Result<(&str, u64), Refused>) {
    for window in [1, 3, 1 << 20] {
        let found = detect(|at| file.iter().skip(at as usize).take(window).copied().collect(), |_| None);
        let expected = expected.map(|(name, lost)| (name.to_owned(), lost));
        let shown = String::from_utf8_lossy(file);
        assert_eq!(found.map(|d| (d.encoding.name(), d.lost)), expected, "{shown} by {window}");
    }
}

fn encode(label: &str, text: &str) -> Vec<u8> {
    let (bytes, _, has_lost) = Encoding::labelled(label).expect("a label").0.encode(text);
    assert!(!has_lost, "{label}");
    bytes.into_owned()
}

const TEXTS: [(&str, &str, &str); 8] = [
    (
        "gbk",
        "gbk",
        "阀门检修规程。红色阀门每九十天检查一次,由夜班负责。压力不得超过四巴。",
    ),
    (
        "shift_jis",
        "shift_jis",
        "保守手順書。赤いバルブは九十日ごとに点検する。青いバルブは夜勤が担当する。",
    ),
    (
        "big5",
        "big5",
        "閥門檢修規程。紅色閥門每九十天檢查一次,由夜班負責。壓力不得超過四巴。",
    ),
    (
        "euc-kr",
        "euc-kr",
        "밸브 정비 절차. 빨간 밸브는 구십 일마다 점검한다. 파란 밸브는 야간 근무자가 맡는다.",
    ),
    (
        "windows-1251",
        "windows-1251",
        "Порядок обслуживания. Красный клапан проверяют каждые девяносто дней.",
    ),
    (
        "koi8-r",
        "koi8-u",
        "Порядок обслуживания. Красный клапан проверяют каждые девяносто дней.",
    ),
    (
        "iso-8859-2",
        "iso-8859-2",
        "Przegląd zaworów. Zawór czerwony sprawdza się co dziewięćdziesiąt dni; źródło ciśnienia.",
    ),
    (
        "windows-1252",
        "windows-1252",
        "Größere Überprüfung: Das rote Ventil wird alle neunzig Tage geprüft, »täglich« das blaue.",
    ),
];

#[test]
fn what_bytes_suggest_is_read_where_nothing_is_declared() {
    for (label, name, text) in TEXTS {
        for text in [text.to_owned(), format!("{text}\r\n").repeat(40)] {
            check(&encode(label, &text), Ok((name, 0)));
        }
    }
}

#[test]
fn what_a_file_declares_is_believed_if_it_can_be() {
    let declare = |file: &[u8], declared: Declared| detect(whole(file), declared).map(|d| d.encoding.name());
    let gbk: Declared = |_| Encoding::labelled("gbk");
    let latin2: Declared = |_| Encoding::labelled("iso-8859-2");
    let utf8: Declared = |_| Encoding::labelled("utf-8");
    assert_eq!(declare(&encode("gbk", "中文"), gbk), Ok("gbk".into()));
    assert_eq!(
        declare("na\u{ef}ve caf\u{e9} \u{2014} \u{201c}x\u{201d} \u{20ac}".as_bytes(), gbk),
        Ok("utf-8".into()),
        "certain"
    );
    assert_eq!(declare(&encode("iso-8859-2", "źródło"), latin2), Ok("iso-8859-2".into()));
    assert_eq!(declare(b"plain", gbk), Ok("utf-8".into()), "ASCII is UTF-8");
    let korean = encode("euc-kr", TEXTS[3].2);
    assert_eq!(declare(&korean, utf8), Ok("euc-kr".into()), "a lie");
}

#[test]
fn utf8_with_few_bad_bytes_is_utf8() {
    check(b"", Ok(("utf-8", 0)));
    check("caf\u{e9} \u{1f600}".as_bytes(), Ok(("utf-8", 0)));
    check(b"\xef\xbb\xbfwith a mark", Ok(("utf-8", 0)));
    let russian = TEXTS[4].2.as_bytes();
    let mut bad = russian.to_vec();
    bad[10] = b' ';
    check(&bad, Ok(("utf-8", 1)));
    for cut in 1..4 {
        let mut text = TEXTS[0].2.as_bytes().to_vec();
        text.extend_from_slice(&"\u{1f600}".as_bytes()[..cut]);
        check(&text, Ok(("utf-8", 1)));
    }
    check(
        &[b"plain text, and a lot of it. ".repeat(8).as_slice(), b"\xff"].concat(),
        Ok(("utf-8", 1)),
    );
    check(
        &[b"plain text, and a lot of it. ".repeat(8).as_slice(), b"\xe9\x98"].concat(),
        Ok(("utf-8", 1)),
    );
}

#[test]
fn a_few_letters_of_another_encoding_in_ascii_are_letters() {
    check(b"caf\xe9", Ok(("windows-1252", 0)));
    let text = b"The caf\xe9 opens at eight, and it\x92s closed on Mondays. Nothing else in this long text is beyond ASCII, ".repeat(3);
    check(
        &[text.as_slice(), &b"as most English texts are. ".repeat(12)].concat(),
        Ok(("windows-1252", 0)),
    );
}

#[test]
fn goes_by_byte_order_marks_and_by_the_zeros_of_utf16() {
    check(b"\xff\xfea\0", Ok(("utf-16le", 0)));
    check(b"\xfe\xff\0a", Ok(("utf-16be", 0)));
    check(b"\xff\xfe\0\0a\0\0\0", Err(Refused::Binary));
    for text in ["name;price\r\nvalve;12\r\n", "阀门检修规程。\r\n红色阀门\r\n", "Клапан 90\n"] {
        let units = || text.encode_utf16();
        check(&units().flat_map(u16::to_le_bytes).collect::<Vec<u8>>(), Ok(("utf-16le", 0)));
        check(&units().flat_map(u16::to_be_bytes).collect::<Vec<u8>>(), Ok(("utf-16be", 0)));
    }
}

#[test]
fn japanese_mail_is_decoded() {
    let found = detect(whole(b"Subject: \x1b$B%P%k%V\x1b(B 90\r\n"), |_| None);
    assert_eq!(found.map(|d| d.encoding.name()), Ok("iso-2022-jp".into()));
    check(b"\x1b[31mred\x1b[0m and \x1b$x", Ok(("utf-8", 0)));
}

#[test]
fn refuses_what_is_not_text() {
    check(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", Err(Refused::Binary));
    check(&[0; 1000], Err(Refused::Binary));
    check(b"caf\xe9 and a zero\0", Err(Refused::Binary));
    let mut log = b"a line\n".repeat(100);
    log.push(0);
    check(&log, Ok(("utf-8", 0)));
    let noise: Vec<u8> = (0..4096_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    check(&noise, Err(Refused::Binary));
}

#[test]
fn refuses_what_no_encoding_fits() {
    let mut damaged = TEXTS[4].2.as_bytes().to_vec();
    damaged.iter_mut().skip(10).step_by(24).for_each(|byte| *byte = 0xff);
    let found = detect(whole(&damaged), |_| None);
    assert!(
        matches!(found, Err(Refused::Undecodable { best, .. }) if best == Encoding::UTF_8),
        "{found:?}"
    );
    // Not UTF-8, though a mark says so.
    let marked = [b"\xef\xbb\xbf".as_slice(), &encode("windows-1251", TEXTS[4].2)].concat();
    let found = detect(whole(&marked), |_| None);
    assert!(
        matches!(found, Err(Refused::Undecodable { best, .. }) if best == Encoding::UTF_8),
        "{found:?}"
    );
}

proptest! {
    #[test]
    fn any_utf8_is_read_as_such(text in "\\PC{0,60}") {
        let found = detect(whole(text.as_bytes()), |_| None);
        prop_assert_eq!(found, Ok(Detected { encoding: Encoding::UTF_8, lost: 0 }));
    }

    #[test]
    fn what_is_accepted_loses_little(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(Detected { encoding, lost }) = detect(whole(&bytes), |_| None) {
            let quality = Quality::of(encoding, &mut whole(&bytes));
            prop_assert_eq!(quality.lost, lost);
            prop_assert!(lost * 100 <= bytes.len() as u64 || encoding == Encoding::UTF_8);
        }
    }
}
