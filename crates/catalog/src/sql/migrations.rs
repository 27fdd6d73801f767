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

    // Made by `sqlx::migrate!` in the versions that wrote the first data directories: sqlx refuses a database whose migrations changed.
    #[test]
    fn checksums_are_those_of_the_databases_that_are_there() {
        use sha2::{Digest, Sha384};
        for (migrator, entries) in [(sqlite(), SQLITE), (postgres(), POSTGRES)] {
            for (migration, (version, description, sql)) in migrator.iter().zip(entries) {
                assert_eq!((migration.version, &*migration.description), (*version, *description));
                assert_eq!(&*migration.checksum, Sha384::digest(sql.as_bytes()).as_slice(), "{description}");
            }
        }
    }
}
