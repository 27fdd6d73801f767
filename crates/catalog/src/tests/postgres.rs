//! Every test of this module once more, in another process, with a catalog in PostgreSQL.

#[path = "../../../../tests/support/postgres.rs"]
mod server;

pub(super) use server::Postgres;
use sqlx::{Connection, Executor};
use std::process::Command;

/// Says where the PostgreSQL server is that tests make their databases in.
pub(super) const SERVER: &str = "IBID_TEST_CATALOG_SERVER";

/// A new database in a server.
pub(super) async fn database(server: &str) -> String {
    let name = format!("test_{}", uuid::Uuid::new_v4().simple());
    let mut connection = sqlx::PgConnection::connect(server).await.unwrap();
    let made = sqlx::AssertSqlSafe(format!("CREATE DATABASE {name}"));
    connection.execute(made).await.unwrap();
    connection.close().await.unwrap();
    let (server, _) = server.rsplit_once('/').unwrap();
    format!("{server}/{name}")
}

#[tokio::test]
async fn all_of_it_holds_in_postgresql() {
    if std::env::var_os(SERVER).is_some() {
        return;
    }
    let Some(postgres) = Postgres::start() else { return };
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["tests::", "--skip", "tests::shared"])
        .env(SERVER, postgres.url())
        .output()
        .unwrap();
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{stdout}\n{}", String::from_utf8_lossy(&output.stderr));
    let passed = stdout
        .lines()
        .filter(|line| line.starts_with("test tests::") && line.ends_with("ok"))
        .count();
    assert!(passed >= 25, "{passed} tests ran: {stdout}");
}
