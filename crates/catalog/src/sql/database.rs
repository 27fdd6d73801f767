//! One way to ask two databases: SQLite, whose words the statements are in, and PostgreSQL.
//!
//! A statement is written once, with `?` for its values. For PostgreSQL the values are numbered and `json_each(?)`, which
//! lists what is in an array of JSON, becomes the function of the same use that its migrations make. Where one wording
//! cannot serve both, [`Dialect::pick`] takes one of two.

use sqlx::postgres::{PgArguments, PgRow};
use sqlx::query::Query as SqlxQuery;
use sqlx::sqlite::{SqliteArguments, SqliteRow};
use sqlx::{AssertSqlSafe, ColumnIndex, Decode, PgPool, Postgres, Row as _, SqlSafeStr, SqlStr, Sqlite, SqlitePool, Transaction, Type};
use std::borrow::Cow;
use std::pin::Pin;

type Result<T> = std::result::Result<T, sqlx::Error>;

/// What the database works on. On the heap: the futures of two drivers in every method would make those of the layers above large, and
/// their types deeper than the compiler goes.
type Running<'a, T> = Pin<Box<dyn Future<Output = Result<T>> + Send + 'a>>;

/// Held by whoever writes several rows at once, until its transaction ends. As in SQLite there is one such writer at a time, so
/// that what a transaction has read stays true until it has written; a write is a few milliseconds, most of them the commit.
const WRITER: i64 = 0x0069_6269_6421;

/// Which database it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    Sqlite,
    Postgres,
}

impl Dialect {
    /// The wording for this database.
    pub fn pick<T>(self, sqlite: T, postgres: T) -> T {
        match self {
            Self::Sqlite => sqlite,
            Self::Postgres => postgres,
        }
    }
}

/// Connections.
#[derive(Clone)]
pub(super) enum Pool {
    Sqlite(SqlitePool),
    Postgres(PgPool),
}

impl Pool {
    pub fn dialect(&self) -> Dialect {
        match self {
            Self::Sqlite(_) => Dialect::Sqlite,
            Self::Postgres(_) => Dialect::Postgres,
        }
    }

    /// Begins a transaction that may write, and that no other one of these runs beside.
    pub fn write(&self) -> Running<'_, Tx> {
        Box::pin(async move {
            match self {
                // It takes SQLite's lock at once, so it cannot fail half-way for want of it.
                Self::Sqlite(pool) => Ok(Tx::Sqlite(pool.begin_with("BEGIN IMMEDIATE").await?)),
                Self::Postgres(pool) => {
                    let mut tx = pool.begin().await?;
                    sqlx::query("SELECT pg_advisory_xact_lock($1)")
                        .bind(WRITER)
                        .execute(&mut *tx)
                        .await?;
                    Ok(Tx::Postgres(tx))
                }
            }
        })
    }

    /// Begins a transaction that sees one moment.
    pub fn read(&self) -> Running<'_, Tx> {
        Box::pin(async move {
            match self {
                Self::Sqlite(pool) => Ok(Tx::Sqlite(pool.begin().await?)),
                Self::Postgres(pool) => {
                    let moment = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
                    Ok(Tx::Postgres(pool.begin_with(moment).await?))
                }
            }
        })
    }

    pub async fn close(&self) {
        match self {
            Self::Sqlite(pool) => pool.close().await,
            Self::Postgres(pool) => pool.close().await,
        }
    }
}

/// A transaction; dropped, it has done nothing.
pub(super) enum Tx {
    Sqlite(Transaction<'static, Sqlite>),
    Postgres(Transaction<'static, Postgres>),
}

impl Tx {
    pub fn dialect(&self) -> Dialect {
        match self {
            Self::Sqlite(_) => Dialect::Sqlite,
            Self::Postgres(_) => Dialect::Postgres,
        }
    }

    pub fn commit(self) -> Running<'static, ()> {
        Box::pin(async move {
            match self {
                Self::Sqlite(tx) => tx.commit().await,
                Self::Postgres(tx) => tx.commit().await,
            }
        })
    }
}

/// Where a statement is run.
pub(super) enum On<'a> {
    Pool(&'a Pool),
    Tx(&'a mut Tx),
}

impl<'a> From<&'a Pool> for On<'a> {
    fn from(pool: &'a Pool) -> Self {
        Self::Pool(pool)
    }
}

impl<'a> From<&'a mut Tx> for On<'a> {
    fn from(tx: &'a mut Tx) -> Self {
        Self::Tx(tx)
    }
}

/// A row.
pub(super) enum Row {
    Sqlite(SqliteRow),
    Postgres(PgRow),
}

impl Row {
    /// The value of a column.
    pub fn try_get<'r, T>(&'r self, column: &str) -> Result<T>
    where
        T: Decode<'r, Sqlite> + Type<Sqlite> + Decode<'r, Postgres> + Type<Postgres>,
        for<'c> &'c str: ColumnIndex<SqliteRow> + ColumnIndex<PgRow>,
    {
        match self {
            Self::Sqlite(row) => row.try_get(column),
            Self::Postgres(row) => row.try_get(column),
        }
    }
}

/// A value of a statement.
#[derive(Debug, Clone)]
pub(super) enum Value {
    Text(Option<String>),
    Integer(Option<i64>),
    Real(f64),
}

macro_rules! value {
    ($($of:ty => |$value:ident| $made:expr;)*) => {
        $(impl From<$of> for Value {
            fn from($value: $of) -> Self {
                $made
            }
        })*
    };
}

value! {
    &str => |text| Self::Text(Some(text.to_owned()));
    &String => |text| Self::Text(Some(text.clone()));
    String => |text| Self::Text(Some(text));
    Option<&str> => |text| Self::Text(text.map(str::to_owned));
    Option<String> => |text| Self::Text(text);
    &Option<String> => |text| Self::Text(text.clone());
    i64 => |number| Self::Integer(Some(number));
    u32 => |number| Self::Integer(Some(number.into()));
    Option<i64> => |number| Self::Integer(number);
    f64 => |number| Self::Real(number);
}

/// A statement and its values.
pub(super) struct Query {
    sql: Cow<'static, str>,
    values: Vec<Value>,
    persistent: bool,
}

/// A statement, with `?` where its values go.
pub(super) fn query(sql: impl Into<Cow<'static, str>>) -> Query {
    Query {
        sql: sql.into(),
        values: Vec::new(),
        persistent: true,
    }
}

/// Runs a statement on whatever database `on` is, and makes one value of what comes.
macro_rules! run {
    ($query:expr, $on:expr, |$ready:ident, $executor:ident, $row:ident| $run:expr) => {
        match $on {
            On::Pool(Pool::Sqlite(pool)) => {
                let ($ready, $executor, $row) = ($query.sqlite(), pool, Row::Sqlite);
                $run
            }
            On::Pool(Pool::Postgres(pool)) => {
                let ($ready, $executor, $row) = ($query.postgres(), pool, Row::Postgres);
                $run
            }
            On::Tx(Tx::Sqlite(tx)) => {
                let ($ready, $executor, $row) = ($query.sqlite(), &mut **tx, Row::Sqlite);
                $run
            }
            On::Tx(Tx::Postgres(tx)) => {
                let ($ready, $executor, $row) = ($query.postgres(), &mut **tx, Row::Postgres);
                $run
            }
        }
    };
}

impl Query {
    /// The next value.
    pub fn bind(mut self, value: impl Into<Value>) -> Self {
        self.values.push(value.into());
        self
    }

    /// Goes on with the statement.
    pub fn push(&mut self, sql: &str) -> &mut Self {
        self.sql.to_mut().push_str(sql);
        self
    }

    /// Goes on with the statement, by a value.
    pub fn push_bind(&mut self, value: impl Into<Value>) -> &mut Self {
        self.values.push(value.into());
        self.push("?")
    }

    /// Goes on with rows of values, in parentheses.
    pub fn push_rows<V: Into<Value>, const N: usize>(&mut self, rows: impl IntoIterator<Item = [V; N]>) -> &mut Self {
        for (number, row) in rows.into_iter().enumerate() {
            self.push(if number == 0 { "VALUES (" } else { ", (" });
            for (column, value) in row.into_iter().enumerate() {
                if column > 0 {
                    self.push(", ");
                }
                self.push_bind(value);
            }
            self.push(")");
        }
        self
    }

    /// Whether the database keeps the prepared statement; it does unless this says `false`.
    pub fn persistent(mut self, persistent: bool) -> Self {
        self.persistent = persistent;
        self
    }

    /// Runs it; returns how many rows it changed.
    pub fn execute<'a>(self, on: impl Into<On<'a>>) -> Running<'a, u64> {
        let on = on.into();
        Box::pin(async move { run!(self, on, |ready, executor, _row| Ok(ready.execute(executor).await?.rows_affected())) })
    }

    /// Its one row, or none.
    pub fn fetch_optional<'a>(self, on: impl Into<On<'a>>) -> Running<'a, Option<Row>> {
        let on = on.into();
        Box::pin(async move { run!(self, on, |ready, executor, row| Ok(ready.fetch_optional(executor).await?.map(row))) })
    }

    /// Its one row.
    pub async fn fetch_one(self, on: impl Into<On<'_>>) -> Result<Row> {
        self.fetch_optional(on).await?.ok_or(sqlx::Error::RowNotFound)
    }

    /// Its rows.
    pub fn fetch_all<'a>(self, on: impl Into<On<'a>>) -> Running<'a, Vec<Row>> {
        let on = on.into();
        Box::pin(async move {
            run!(self, on, |ready, executor, row| Ok(ready
                .fetch_all(executor)
                .await?
                .into_iter()
                .map(row)
                .collect()))
        })
    }

    fn sqlite(self) -> SqlxQuery<'static, Sqlite, SqliteArguments> {
        let sql: SqlStr = match self.sql {
            Cow::Borrowed(sql) => sql.into_sql_str(),
            // Nothing but statements of this module is ever pushed; what comes from elsewhere is bound.
            Cow::Owned(sql) => AssertSqlSafe(sql).into_sql_str(),
        };
        let mut ready = sqlx::query(sql).persistent(self.persistent);
        for value in self.values {
            ready = match value {
                Value::Text(text) => ready.bind(text),
                Value::Integer(number) => ready.bind(number),
                Value::Real(number) => ready.bind(number),
            };
        }
        ready
    }

    fn postgres(self) -> SqlxQuery<'static, Postgres, PgArguments> {
        let mut ready = sqlx::query(AssertSqlSafe(for_postgres(&self.sql)).into_sql_str()).persistent(self.persistent);
        for value in self.values {
            ready = match value {
                // Its texts hold every character but this one.
                Value::Text(text) => ready.bind(text.map(|text| match text.contains('\0') {
                    true => text.replace('\0', "\u{fffd}"),
                    false => text,
                })),
                Value::Integer(number) => ready.bind(number),
                Value::Real(number) => ready.bind(number),
            };
        }
        ready
    }
}

/// A statement in PostgreSQL's words. No text in a statement of this module holds `?`.
fn for_postgres(sql: &str) -> String {
    let mut parts = sql.split('?');
    let mut numbered = parts.next().unwrap_or_default().to_owned();
    for (part, number) in parts.zip(1_usize..) {
        numbered.push('$');
        numbered.push_str(&number.to_string());
        numbered.push_str(part);
    }
    numbered.replace("json_each(", "json_items(")
}

#[cfg(test)]
mod tests {
    use super::for_postgres;

    #[test]
    fn a_statement_is_put_in_postgresqls_words() {
        assert_eq!(
            for_postgres("SELECT a FROM b WHERE c = ? AND d IN (SELECT value FROM json_each(?)) LIMIT ?"),
            "SELECT a FROM b WHERE c = $1 AND d IN (SELECT value FROM json_items($2)) LIMIT $3"
        );
        assert_eq!(for_postgres("SELECT 1"), "SELECT 1");
    }
}
