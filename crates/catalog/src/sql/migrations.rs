//! The schema's history: the migrations of each database, embedded in the program.
//!
//! sqlx's `migrate!` would do the same, and has the two database drivers compiled a second time, for the compiler's own use.

use sqlx::SqlStr;
use sqlx::migrate::{Migration, MigrationType, Migrator};

/// A migration: its number, what it does, and its SQL. sqlx records the three, so that none of them may ever change.
type Entry = (i64, &'static str, &'static str);

const SQLITE: &[Entry] = &[
    (1, "catalog", include_str!("../../migrations/sqlite/0001_catalog.sql")),
    (2, "place", include_str!("../../migrations/sqlite/0002_place.sql")),
    (3, "generations", include_str!("../../migrations/sqlite/0003_generations.sql")),
];

const POSTGRES: &[Entry] = &[
    (1, "catalog", include_str!("../../migrations/postgres/0001_catalog.sql")),
    (2, "keys", include_str!("../../migrations/postgres/0002_keys.sql")),
];

/// Returns the migrations of a catalog in SQLite.
pub fn sqlite() -> Migrator {
    migrator(SQLITE)
}

/// Returns the migrations of a catalog in PostgreSQL.
pub fn postgres() -> Migrator {
    migrator(POSTGRES)
}

fn migrator(entries: &[Entry]) -> Migrator {
    let migration = |&(version, description, sql): &Entry| {
        Migration::new(version, description.into(), MigrationType::Simple, SqlStr::from_static(sql), false)
    };
    Migrator::with_migrations(entries.iter().map(migration).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::path::Path;

    #[test]
    fn each_file_of_a_migration_is_embedded_under_its_number_and_name() {
        for (database, entries) in [("sqlite", SQLITE), ("postgres", POSTGRES)] {
            let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations").join(database);
            let files: BTreeSet<String> = std::fs::read_dir(directory)
                .unwrap()
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .collect();
            let embedded: BTreeSet<String> = entries
                .iter()
                .map(|(version, description, _)| format!("{version:04}_{}.sql", description.replace(' ', "_")))
                .collect();
            assert_eq!(files, embedded, "{database}");
        }
    }

    // sqlx refuses a database whose recorded migrations are not these.
    #[test]
    fn checksums_are_those_that_databases_have_recorded() {
        let recorded = |migrator: Migrator| -> Vec<String> {
            let hex = |migration: &Migration| migration.checksum.iter().map(|byte| format!("{byte:02x}")).collect();
            migrator.iter().map(hex).collect()
        };
        assert_eq!(
            recorded(sqlite()),
            [
                "a0643caf2dee54df5758850c7c7430f79659160f99f003210c451041e8cf3d5ab6a2a25aaa603c17738539397069d4a8",
                "20f9b4236a8347a7acfe2021f61609a474b0e450658ffd1fce04b590ebc3ce8cccd4ece146da2cd7c3dab92c37dd18ec",
                "faa1786f5372e057854be2c40de6dafd1b1b7f74deac949c626319e405fceb778fb64e06df283cf4d43953086ef6d441",
            ]
        );
        assert_eq!(
            recorded(postgres()),
            [
                "dba73018bc764c9a15e6b66c959cdbbbfa7e8fce124fb02bac98de78627f0c75872af6bf977ae04775b628a06eda9a07",
                "7ce514fe5771c37eba2139dc505d5d8d74986525048e0767353c1618b0970e1679c4373e843bd9ec1f828d6545c0591a",
            ]
        );
    }
}
