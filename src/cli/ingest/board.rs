//! Shows the files that are on their way: bars on a terminal, lines elsewhere.

use super::super::{CliError, console};
use super::progress::{self, Phase, Progress};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::Value;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Steps of a bar.
const STEPS: f64 = 1000.0;
/// Characters of a file name that a bar shows.
const NAME: usize = 36;

/// The files on their way. A lock is held for moments, and never across an await.
pub struct Board {
    bars: MultiProgress,
    all: Option<ProgressBar>,
    terminal: bool,
    files: Mutex<Vec<Entry>>,
}

/// A file's place on the board.
pub struct BoardRow(u64);

struct Entry {
    place: u64,
    name: String,
    size: u64,
    upload_id: Option<String>,
    phase: Phase,
    fraction: f64,
    bar: ProgressBar,
}

impl Board {
    /// A board for this many files.
    pub fn new(total: usize) -> Self {
        let terminal = console::shows_progress();
        let bars = MultiProgress::with_draw_target(if terminal {
            ProgressDrawTarget::stderr()
        } else {
            ProgressDrawTarget::hidden()
        });
        // With a single file its own bar says it all.
        let all = (terminal && total > 1).then(|| {
            let bar = bars.add(ProgressBar::new(total as u64));
            bar.set_style(style("{pos} of {len} files, {elapsed}"));
            bar.enable_steady_tick(Duration::from_secs(1));
            bar
        });
        Self {
            bars,
            all,
            terminal,
            files: Mutex::default(),
        }
    }

    /// A file sets out.
    pub fn begin(&self, name: &str, size: u64) -> BoardRow {
        let bar = match &self.all {
            Some(all) => self.bars.insert_before(all, ProgressBar::new(STEPS as u64)),
            None => self.bars.add(ProgressBar::new(STEPS as u64)),
        };
        let colour = if console::colours() { "{bar:24.cyan/dim}" } else { "{bar:24}" };
        bar.set_style(style(&format!("{{prefix:{NAME}}} {colour} {{percent:>3}} %  {{msg}}")));
        bar.set_prefix(console::shorten(name, NAME));
        bar.set_message(Phase::Uploading.name());
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        let place = files.last().map_or(0, |last| last.place + 1);
        files.push(Entry {
            place,
            name: name.to_owned(),
            size,
            upload_id: None,
            phase: Phase::Uploading,
            fraction: 0.0,
            bar,
        });
        BoardRow(place)
    }

    /// A file has arrived, or failed.
    pub fn end(&self, place: BoardRow) {
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = files.iter().position(|entry| entry.place == place.0) {
            let entry = files.remove(at);
            entry.bar.finish_and_clear();
            self.bars.remove(&entry.bar);
        }
        if let Some(all) = &self.all {
            all.inc(1);
        }
    }

    /// Takes an event of `/ws/upload`; those of other clients' uploads change nothing.
    pub fn take(&self, event: &Value) {
        let Some(progress) = progress::read(event) else {
            return;
        };
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(entry) = find(&mut files, &progress) else {
            return;
        };
        // A bar never goes back, and the events of a finished phase may still trickle in.
        if progress.phase < entry.phase {
            return;
        }
        let new_phase = progress.phase > entry.phase;
        entry.phase = progress.phase;
        entry.fraction = entry.fraction.max(progress.fraction);
        entry.bar.set_position((entry.fraction * STEPS) as u64);
        entry
            .bar
            .set_message(format!("{} {}", progress.phase.name(), progress.detail).trim_end().to_owned());
        if new_phase && !self.terminal && progress.phase < Phase::Done {
            console::note(&format!("{}: {}", console::shorten(&entry.name, 80), progress.phase.name()));
        }
    }

    /// Prints above the bars.
    ///
    /// # Errors
    /// Those of `print`.
    pub fn above(&self, print: impl FnOnce() -> Result<(), CliError>) -> Result<(), CliError> {
        if self.terminal { self.bars.suspend(print) } else { print() }
    }

    /// Removes all bars.
    pub fn clear(&self) {
        for entry in self.files.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            entry.bar.finish_and_clear();
        }
        if let Some(all) = &self.all {
            all.finish_and_clear();
        }
    }
}

/// The file that an event tells of. The client learns an upload's identifier only with the answer, when
/// all is over: until then the first event's name and size tell whose it is.
fn find<'a>(files: &'a mut [Entry], progress: &Progress) -> Option<&'a mut Entry> {
    let known = files
        .iter()
        .position(|entry| entry.upload_id.as_deref() == Some(progress.upload_id.as_str()));
    let at = known.or_else(|| {
        let size = progress.started?;
        let fits = |entry: &Entry| entry.upload_id.is_none() && entry.name == progress.filename && (size == 0 || size == entry.size);
        files.iter().position(fits)
    })?;
    let entry = files.get_mut(at)?;
    entry.upload_id.get_or_insert_with(|| progress.upload_id.clone());
    Some(entry)
}

/// The templates are literals; should one be wrong, a plain bar will do.
fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("█▌░")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn state(board: &Board) -> Vec<(String, Phase, u64)> {
        let files = board.files.lock().expect("no panic");
        files
            .iter()
            .map(|entry| (entry.name.clone(), entry.phase, entry.bar.position()))
            .collect()
    }

    fn event(kind: &str, id: &str, name: &str, more: Value) -> Value {
        let mut data = json!({"upload_id": id, "filename": name});
        if let (Some(data), Value::Object(more)) = (data.as_object_mut(), more) {
            data.extend(more);
        }
        json!({ "type": kind, "data": data })
    }

    #[test]
    fn events_find_their_files() {
        let board = Board::new(3);
        let first = board.begin("same.md", 10);
        board.begin("same.md", 20);
        board.begin("other.pdf", 30);
        // Of another client: same name, other size.
        board.take(&event("upload_started", "x", "same.md", json!({"file_size": 99})));
        board.take(&event("embedding_progress", "x", "same.md", json!({"progress": 1.0})));
        assert!(state(&board).iter().all(|(_, phase, at)| (*phase, *at) == (Phase::Uploading, 0)));
        board.take(&event("upload_started", "b", "same.md", json!({"file_size": 20})));
        board.take(&event(
            "chunking_progress",
            "b",
            "same.md",
            json!({"progress": 1.0, "chunks_processed": 2, "total_chunks": 2}),
        ));
        // What trickles in late does not move it back.
        board.take(&event("upload_progress", "b", "same.md", json!({"progress": 0.5})));
        assert_eq!(state(&board)[1], ("same.md".to_owned(), Phase::Chunking, 350));
        assert_eq!(state(&board)[0].1, Phase::Uploading);
        board.end(first);
        assert_eq!(state(&board).len(), 2);
        // Places are not mixed up by the gap.
        let last = board.begin("late.txt", 1);
        board.end(last);
        assert_eq!(
            state(&board).iter().map(|(name, ..)| name.as_str()).collect::<Vec<_>>(),
            ["same.md", "other.pdf"]
        );
    }
}
