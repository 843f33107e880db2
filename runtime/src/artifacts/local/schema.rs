//! The database's tables, and how an older database becomes a current one.

use super::failure::{Failure, Outcome};
use rusqlite::{Connection, TransactionBehavior};
use std::path::Path;
use std::time::Duration;

/// Marks a SQLite file as an artifact store of this program: "task" in ASCII.
const APPLICATION_ID: i32 = 0x7461_736b;

/// How long a process waits while another one writes; a write is a handful of rows, never a file's bytes.
const BUSY_TIMEOUT: Duration = Duration::from_secs(20);

/// Each step takes a database from the version that is its index to the next one. Steps that were ever released never change.
const MIGRATIONS: [&str; 1] = [include_str!("schema_1.sql")];

/// Opens the database in `file`, creates or migrates it, and refuses one that a newer program wrote.
///
/// Only one process may do this at a time: SQLite cannot wait while its journal mode changes.
pub(super) fn open(file: &Path, store: &Path) -> Outcome<Connection> {
    let mut connection = Connection::open(file)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    refuse_strangers(&connection, store)?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.pragma_update(None, "journal_mode", "wal")?;
    // A commit that was answered survives a power cut: a result may already have been reported.
    connection.pragma_update(None, "synchronous", "full")?;
    migrate(&mut connection)?;
    Ok(connection)
}

/// Looks before anything is written.
fn refuse_strangers(connection: &Connection, store: &Path) -> Outcome<()> {
    let store = store.display();
    let application: i32 = pragma(connection, "application_id")?;
    let version = pragma(connection, "user_version")?;
    if (application, version) != (0, 0) && application != APPLICATION_ID {
        return Err(Failure::invalid(format!(
            "artifact store {store}: its database belongs to another program; choose another directory"
        )));
    }
    if version as usize > MIGRATIONS.len() {
        return Err(Failure::unavailable(format!(
            "artifact store {store}: a newer program wrote it (format {version}, this program knows {}); use that program, or choose another store",
            MIGRATIONS.len()
        )));
    }
    Ok(())
}

fn migrate(connection: &mut Connection) -> Outcome<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let version = pragma(&transaction, "user_version")? as usize;
    for step in &MIGRATIONS[version.min(MIGRATIONS.len())..] {
        transaction.execute_batch(step)?;
    }
    if version < MIGRATIONS.len() {
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
        transaction.pragma_update(None, "user_version", MIGRATIONS.len() as i64)?;
    }
    Ok(transaction.commit()?)
}

fn pragma(connection: &Connection, name: &str) -> Outcome<i32> {
    Ok(connection.pragma_query_value(None, name, |row| row.get(0))?)
}
