//! Reads subtitles: WebVTT (W3C) and SubRip, which differ in the decimal mark of their times and in what surrounds the cues.
//!
//! Cues, which appear on the screen line by line, become continuous text: cues that continue a sentence join its paragraph. Pages are the
//! minutes of the film, so that a citation leads to the right minute.

use ibid_plugin::{Draft, Extractor, Failure, Settings, Unit, Upload};
use serde::Deserialize;

/// The settings: `config.schema.json` as a struct.
#[derive(Debug, Deserialize)]
#[serde(default)]
pub struct Config {
    /// The minutes of the film in a page.
    pub minutes_per_page: u32,
    /// Whether to keep the speaker's name.
    pub speakers: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            minutes_per_page: 1,
            speakers: true,
        }
    }
}

impl Settings for Config {}

/// The extractor. It has no state but its settings.
struct Subtitles(Config);

ibid_plugin::extractor!(Subtitles);

impl Extractor for Subtitles {
    fn open(config: &str) -> Result<Self, Failure> {
        Config::parse(config).map(Self)
    }

    fn extract(&self, upload: &impl Upload, draft: &mut impl Draft) -> Result<(), Failure> {
        let mut bytes = Vec::new();
        for window in upload.windows(4 << 20) {
            bytes.extend_from_slice(&window);
            draft.progress(bytes.len() as f32 / upload.len() as f32 / 2.0);
        }
        let text =
            String::from_utf8(bytes).map_err(|_| Failure::malformed("The file is not UTF-8: save it as UTF-8 and upload it again."))?;
        let paragraphs = paragraphs(&cues(&text), &self.0);
        if paragraphs.is_empty() {
            return Err(Failure::malformed("The file holds no cue: is it WebVTT or SubRip?"));
        }
        let mut page = 0;
        let mut start = 0;
        for paragraph in &paragraphs {
            let minute = u32::try_from(paragraph.start / 60_000).unwrap_or(u32::MAX);
            let number = (minute / self.0.minutes_per_page.max(1)).saturating_add(1);
            // A file may be out of order; pages may not.
            if number > page {
                page = number;
                let first = (page - 1) * self.0.minutes_per_page.max(1);
                draft.begin_page(page, Some(&format!("{:02}:{:02}", first / 60, first % 60)));
            }
            let end = start + paragraph.text.len() as u32;
            let next = draft.write(&format!("{}\n\n", paragraph.text));
            draft.add_units(&[Unit::new("paragraph", start..end)]);
            start = next;
        }
        Ok(())
    }
}

/// A cue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cue {
    /// When it appears, in milliseconds from the film's start.
    pub start: u64,
    /// The speaker, if the file names one.
    pub speaker: Option<String>,
    /// The text, on one line and without markup.
    pub text: String,
}

/// Returns the cues of a file, in its order. Skips everything else (notes, styles, numbers).
pub fn cues(file: &str) -> Vec<Cue> {
    let mut cues = Vec::new();
    let mut lines = file.lines().map(|line| line.trim_matches(['\u{feff}', '\r', ' ', '\t'])).peekable();
    while let Some(line) = lines.next() {
        let Some(start) = line.split_once("-->").and_then(|(start, _)| milliseconds(start)) else {
            continue;
        };
        let mut shown = String::new();
        while let Some(line) = lines.next_if(|line| !line.is_empty() && !line.contains("-->")) {
            shown.push_str(line);
            shown.push(' ');
        }
        let (speaker, text) = plain(&shown);
        if !text.is_empty() {
            cues.push(Cue { start, speaker, text });
        }
    }
    cues
}

/// Parses a time: `01:02:03.450`, `02:03.450`, and the same with a comma.
fn milliseconds(time: &str) -> Option<u64> {
    let (clock, fraction) = time.trim().split_once(['.', ','])?;
    let mut seconds = 0_u64;
    for part in clock.split(':') {
        seconds = seconds.checked_mul(60)?.checked_add(part.parse().ok()?)?;
    }
    let fraction: u64 = fraction.get(..3)?.parse().ok()?;
    seconds.checked_mul(1000)?.checked_add(fraction)
}

/// Removes the markup: `<v Ann>`, `<i>`, `{\an8}`, and entities. Returns the speaker that a voice span names, and the text.
fn plain(shown: &str) -> (Option<String>, String) {
    let mut text = String::new();
    let mut speaker = None;
    let mut rest = shown;
    while let Some(at) = rest.find(['<', '{', '&']) {
        text.push_str(&rest[..at]);
        rest = &rest[at..];
        let close = match rest.as_bytes()[0] {
            b'<' => '>',
            b'{' if rest.starts_with("{\\") => '}',
            b'&' => ';',
            _ => '\0',
        };
        match rest.find(close) {
            Some(end) if close != ';' => {
                if let Some(voice) = rest[..end].strip_prefix("<v") {
                    // Classes come before the name: `<v.loud Ann>`.
                    let name = voice.split_once(' ').map(|(_, name)| name.trim()).filter(|name| !name.is_empty());
                    speaker = name.map(str::to_owned).or(speaker);
                }
                rest = &rest[end + 1..];
            }
            Some(end) if entity(&rest[..end]).is_some() => {
                text.push_str(entity(&rest[..end]).unwrap_or_default());
                rest = &rest[end + 1..];
            }
            _ => {
                text.push_str(&rest[..1]);
                rest = &rest[1..];
            }
        }
    }
    text.push_str(rest);
    let words: Vec<&str> = text.split_whitespace().collect();
    (speaker, words.join(" "))
}

fn entity(name: &str) -> Option<&'static str> {
    Some(match name {
        "&amp" => "&",
        "&lt" => "<",
        "&gt" => ">",
        "&nbsp" => " ",
        "&lrm" | "&rlm" => "",
        _ => return None,
    })
}

/// The words of one speaker without a pause.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paragraph {
    /// When it starts, in milliseconds from the film's start.
    pub start: u64,
    /// Its text.
    pub text: String,
}

/// The most cues of a sentence; a file with longer ones has no full stops.
const MAX_CUES: usize = 12;

/// Joins cues as long as one speaker's sentence goes on.
pub fn paragraphs(cues: &[Cue], config: &Config) -> Vec<Paragraph> {
    let mut paragraphs: Vec<Paragraph> = Vec::new();
    let mut speaker: Option<&String> = None;
    let mut joined = 0;
    for cue in cues {
        let ended = paragraphs
            .last()
            .is_none_or(|last| last.text.ends_with(['.', '!', '?', '…', '"', '”', '。']));
        let changed = cue.speaker.is_some() && cue.speaker.as_ref() != speaker || cue.text.starts_with(['-', '–']);
        match paragraphs.last_mut() {
            Some(last) if !ended && !changed && joined < MAX_CUES => {
                last.text.push(' ');
                last.text.push_str(&cue.text);
                joined += 1;
            }
            _ => {
                let name = cue.speaker.as_ref().filter(|name| config.speakers && Some(*name) != speaker);
                let text = match name {
                    Some(name) => format!("{name}: {}", cue.text),
                    None => cue.text.clone(),
                };
                paragraphs.push(Paragraph { start: cue.start, text });
                joined = 1;
            }
        }
        speaker = cue.speaker.as_ref().or(speaker);
    }
    paragraphs
}

#[cfg(test)]
mod tests {
    use super::*;
    use ibid_plugin::testing::{Collected, File};

    #[test]
    fn both_formats_are_read() {
        let vtt = "\u{feff}WEBVTT\n\nNOTE made by hand\n\n1\n00:01.000 --> 00:02.500 align:start\n<v.loud Ann>Hello <i>there</i> &amp; all,\nyou\n\n";
        let srt = "1\r\n00:00:01,000 --> 00:00:02,500\r\n{\\an8}Hello there & all,\r\nyou\r\n\r\n";
        let text = "Hello there & all, you".to_owned();
        let cue = |speaker: Option<&str>| Cue {
            start: 1000,
            speaker: speaker.map(str::to_owned),
            text: text.clone(),
        };
        assert_eq!(cues(vtt), [cue(Some("Ann"))]);
        assert_eq!(cues(srt), [cue(None)]);
    }

    #[test]
    fn times_have_hours_or_not() {
        assert_eq!(milliseconds(" 01:02:03.450 "), Some(3_723_450));
        assert_eq!(milliseconds("02:03,450"), Some(123_450));
        assert_eq!(milliseconds("soon.000"), None);
        assert_eq!(milliseconds("99999999999999999999:00.000"), None);
        assert_eq!(milliseconds("00:01.é"), None);
    }

    #[test]
    fn a_minute_is_a_page() {
        let mut draft = Collected::default();
        let file = "00:01.000 --> 00:02.000\nOne.\n\n01:01.000 --> 01:02.000\nTwo.\n";
        Subtitles(Config::default()).extract(&File::new(file), &mut draft).unwrap();
        assert_eq!((draft.page_text(0), draft.page_text(1)), (Some("One.\n\n"), Some("Two.\n\n")));
        assert_eq!(draft.at(draft.units[1].at), Some("Two."));
        assert_eq!(draft.pages[1].label.as_deref(), Some("00:01"));
    }

    #[test]
    fn what_is_no_mark_stays() {
        assert_eq!(plain("a < b & c {d} &unknown; <"), (None, "a < b & c {d} &unknown; <".into()));
    }

    #[test]
    fn a_sentence_goes_over_cues_and_ends_with_its_speaker() {
        let cue = |speaker: &str, text: &str| Cue {
            start: 0,
            speaker: Some(speaker.into()),
            text: text.into(),
        };
        let cues = [
            cue("Ann", "The warranty"),
            cue("Ann", "lasts two years."),
            cue("Ann", "I think"),
            cue("Bob", "No."),
        ];
        let texts = |config: &Config| paragraphs(&cues, config).into_iter().map(|p| p.text).collect::<Vec<_>>();
        assert_eq!(
            texts(&Config::default()),
            ["Ann: The warranty lasts two years.", "I think", "Bob: No."]
        );
        let bare = Config {
            speakers: false,
            ..Config::default()
        };
        assert_eq!(texts(&bare), ["The warranty lasts two years.", "I think", "No."]);
    }
}
