//! The words that this project does not use, and what it writes in their place. Edit the tables, not the code.

use super::names::Kind;

/// A word, or several of one meaning, that no name may have.
pub struct Name {
    /// In small letters; `_` between the words of one that is several.
    pub words: &'static [&'static str],
    pub form: Form,
    /// What to write in its place.
    pub write: &'static str,
}

/// Which names a word is looked for in, and where.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// As a part of any name: `told` in `told_of` and `ToldPeers`.
    Part,
    /// As a part of a name of at most three words. Longer ones are the sentences that tests have as names, where it is ordinary English.
    Short,
    /// As the whole of any name.
    Whole,
    /// As a part of a type's, a trait's or a variant's name.
    Type,
    /// As the whole of a module's, a type's or a trait's name.
    Thing,
}

impl Form {
    /// Whether a name of this kind and so many words is looked at.
    pub fn concerns(self, kind: Kind, words: usize) -> bool {
        match self {
            Self::Part | Self::Whole => true,
            Self::Short => words <= 3,
            Self::Type => matches!(kind, Kind::Type | Kind::Variant),
            Self::Thing => matches!(kind, Kind::Type | Kind::Module),
        }
    }

    /// Whether the word must be the whole name.
    pub fn is_whole(self) -> bool {
        matches!(self, Self::Whole | Self::Thing)
    }
}

pub const NAMES: &[Name] = &[
    Name {
        words: &["told", "said"],
        form: Form::Part,
        write: "`to_api_error`, `publish`, `notify`, `status` or `message`",
    },
    Name {
        words: &["tell", "telling", "teller", "say"],
        form: Form::Short,
        write: "`publish`, `notify`, `report` or `send`",
    },
    Name {
        words: &["tells", "says"],
        form: Form::Whole,
        write: "`status`, `message` or `is_…`",
    },
    Name {
        words: &["hear", "hears", "heard"],
        form: Form::Part,
        write: "`recv` or `Notification`",
    },
    Name {
        words: &["place", "places"],
        form: Form::Type,
        write: "`Permit`, `IndexBackend`, `Device`, `Position` or `UploadState`",
    },
    Name {
        words: &["ear", "ears"],
        form: Form::Part,
        write: "`Listener`",
    },
    Name {
        words: &["beat", "beats"],
        form: Form::Part,
        write: "`heartbeat`",
    },
    Name {
        words: &["bury", "buries", "buried"],
        form: Form::Part,
        write: "`deregister`",
    },
    Name {
        words: &["silent"],
        form: Form::Short,
        write: "`expired`",
    },
    Name {
        words: &["redo", "redone"],
        form: Form::Part,
        write: "`ReindexScope`, `reprocess`",
    },
    Name {
        words: &["remade"],
        form: Form::Part,
        write: "`ReindexedDocument`, `reprocessed`",
    },
    Name {
        words: &["remake", "remakes"],
        form: Form::Part,
        write: "`reprocess`",
    },
    Name {
        words: &["reception", "receptions"],
        form: Form::Part,
        write: "`UploadSession`, `UploadSessions`",
    },
    Name {
        words: &["work", "works"],
        form: Form::Thing,
        write: "`Job`, `Jobs`",
    },
    Name {
        words: &["works"],
        form: Form::Whole,
        write: "`jobs`",
    },
    Name {
        words: &["space"],
        form: Form::Thing,
        write: "`DiskGuard`, `disk`",
    },
    Name {
        words: &["trouble", "troubles"],
        form: Form::Short,
        write: "`DiskError`",
    },
    Name {
        words: &["is_well"],
        form: Form::Short,
        write: "`is_writable`, `is_healthy`",
    },
    Name {
        words: &["aim", "aims", "aimed"],
        form: Form::Part,
        write: "`DocumentProfile`, `document_boost`",
    },
    Name {
        words: &["preferred"],
        form: Form::Whole,
        write: "`document_boost`, `boosted`",
    },
    Name {
        words: &["reading", "readings"],
        form: Form::Thing,
        write: "`passages`, `PassageAssembly`",
    },
    Name {
        words: &["trial"],
        form: Form::Thing,
        write: "`try_plugin`",
    },
    Name {
        words: &["change"],
        form: Form::Thing,
        write: "`pipeline_update`, `PipelineUpdate`, or which change it is",
    },
    Name {
        words: &["bare"],
        form: Form::Thing,
        write: "`baseline`, `Baseline`",
    },
    Name {
        words: &["placed"],
        form: Form::Type,
        write: "`RoutedIndex`",
    },
    Name {
        words: &["placed"],
        form: Form::Thing,
        write: "`routed`",
    },
    Name {
        words: &["stall"],
        form: Form::Type,
        write: "`WriteTimeout`",
    },
    Name {
        words: &["stall"],
        form: Form::Thing,
        write: "`write_timeout`",
    },
    Name {
        words: &["watch", "watching"],
        form: Form::Thing,
        write: "`FileWatcher`, `watcher`, or what it watches",
    },
];

/// A name in which a word stands before this one is ordinary English: `types_are_told_apart`.
pub const ORDINARY_BEFORE: &str = "apart";

/// Names that stay although the table has them: on the wire, in OpenAPI, in SQL, in a metric. A file (or a folder, with `/` at its end; empty
/// for all), a name, and why.
pub const NAMES_KEPT: &[(&str, &str, &str)] = &[
    ("crates/protocol/", "redo", "a field of the API's answers"),
    ("crates/server/src/http/", "redo", "a query parameter of a request"),
    ("src/cli/args/", "redo", "the option `--redo`"),
    ("crates/protocol/", "CollectionPlace", "the name of a schema in OpenAPI"),
];

/// A phrase that no page, documentation comment or message may have.
pub struct Phrase {
    /// Small letters match any; a word with a capital matches as it is.
    pub says: &'static str,
    /// Whether it is one only where the sentence, or a part of it, ends.
    pub at_end: bool,
    /// A longer phrase that begins with it and is ordinary English.
    pub except: Option<&'static str>,
    pub write: &'static str,
}

const fn phrase(says: &'static str, write: &'static str) -> Phrase {
    Phrase {
        says,
        at_end: false,
        except: None,
        write,
    }
}

pub const PHRASES: &[Phrase] = &[
    Phrase {
        says: "told",
        at_end: false,
        except: Some("told apart"),
        write: "who receives what: \"the client receives …\", \"the log has …\"",
    },
    phrase("hears", "\"receives\", \"is notified\""),
    phrase("heard", "\"received\", \"notified\""),
    phrase("is said", "who says it: \"the setting gives …\", \"the manifest states …\""),
    phrase("are said", "who says it: \"the setting gives …\", \"the manifest states …\""),
    phrase("Who asks", "\"The subject …\", \"The client …\""),
    phrase("of who asks", "\"of the subject\""),
    phrase("what is asked for", "\"the request\", \"what the query requests\""),
    phrase("well again", "\"writable again\", \"healthy again\""),
    Phrase {
        says: "is well",
        at_end: true,
        except: None,
        write: "\"is writable\", \"is healthy\"",
    },
    Phrase {
        says: "are well",
        at_end: true,
        except: None,
        write: "\"are healthy\"",
    },
    phrase("bury", "\"deregister\""),
    phrase("buried", "\"deregistered\""),
    phrase("remade", "\"reprocessed\""),
    phrase("reception", "\"upload session\""),
    phrase("receptions", "\"upload sessions\""),
];
