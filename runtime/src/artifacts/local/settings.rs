//! Settings of the place where tasks run, in place of a server's.

use super::LocalStore;
use super::failure::Outcome;
use crate::artifacts::StoreError;
use rusqlite::{Connection, OptionalExtension};

impl LocalStore {
    /// Changes what [`setting`](crate::artifacts::TaskDatabase::setting) answers, for all processes that use the store.
    pub async fn set_setting(&self, name: &str, value: &str) -> Result<(), StoreError> {
        let (name, value) = (name.to_owned(), value.to_owned());
        self.blocking(move |store| {
            store.write(|rows| {
                rows.execute(
                    "INSERT INTO settings (name, value) VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET value = ?2",
                    (name, value),
                )?;
                Ok(())
            })
        })
        .await
    }
}

/// What was set, else the default of the few settings that have one.
pub(super) fn setting(connection: &Connection, name: &str) -> Outcome<Option<String>> {
    let set = connection
        .query_row("SELECT value FROM settings WHERE name = ?", [name], |row| {
            row.get(0)
        })
        .optional()?;
    Ok(set.or_else(|| match name {
        "DEBUSINE_FQDN" => Some(full_host_name()),
        _ => None,
    }))
}

/// The host's full name as it or `/etc/hosts` gives it, else `localhost`: no name server is asked, so that the same data always get the
/// same answer.
fn full_host_name() -> String {
    let host = nix::unistd::gethostname().unwrap_or_default();
    let host = host.to_string_lossy();
    let hosts = std::fs::read_to_string("/etc/hosts").unwrap_or_default();
    full_name_of(&host, &hosts).unwrap_or_else(|| "localhost".to_owned())
}

/// The first name with a dot of a line of the hosts file that mentions the host.
fn full_name_of(host: &str, hosts: &str) -> Option<String> {
    if host.contains('.') {
        return Some(host.to_owned());
    }
    let lines = hosts
        .lines()
        .map(|line| line.split('#').next().unwrap_or_default());
    lines
        .map(|line| line.split_whitespace().skip(1).collect::<Vec<_>>())
        .filter(|names| !host.is_empty() && names.contains(&host))
        .find_map(|names| names.into_iter().find(|name| name.contains('.')))
        .map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::full_name_of;

    #[test]
    fn the_host_name_is_completed_from_the_hosts_file() {
        let hosts =
            "127.0.0.1 localhost localhost.localdomain\n127.0.1.1 worker.example.org worker # me\n";
        assert_eq!(
            full_name_of("worker", hosts).as_deref(),
            Some("worker.example.org")
        );
        assert_eq!(
            full_name_of("a.example.org", hosts).as_deref(),
            Some("a.example.org")
        );
        assert_eq!(full_name_of("other", hosts), None);
        assert_eq!(full_name_of("me", hosts), None);
        assert_eq!(full_name_of("", hosts), None);
    }
}
