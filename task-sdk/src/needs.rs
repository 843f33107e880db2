//! What a task needs of its worker's power, and the custom section in which its component says so.

/// What a task does besides computing and working on the files of its run. Whatever is not named here is not lent to it.
#[derive(Debug, Clone, Copy)]
pub struct Needs {
    /// Programs that it starts on the host.
    pub commands: &'static [&'static str],
    /// Whether it starts environments, and programs in them.
    pub environments: bool,
    /// Whether these reach the network, e.g. to install packages.
    pub network: bool,
    /// Whether it fetches URLs.
    pub http: bool,
    /// Categories of artifacts that it uploads.
    pub uploads: &'static [&'static str],
}

impl Needs {
    /// Nothing: only files, logs and artifacts that it reads.
    pub const NOTHING: Self = Self {
        commands: &[],
        environments: false,
        network: false,
        http: false,
        uploads: &[],
    };
}

/// Writes the manifest: one `Field: value` on each line. With `N` = 0 nothing is written, only counted.
struct Writer<const N: usize> {
    bytes: [u8; N],
    length: usize,
}

impl<const N: usize> Writer<N> {
    const fn text(mut self, text: &str) -> Self {
        let bytes = text.as_bytes();
        let mut place = 0;
        while place < bytes.len() {
            if self.length < N {
                // A line break would begin another field.
                self.bytes[self.length] = if bytes[place] == b'\n' {
                    b' '
                } else {
                    bytes[place]
                };
            }
            self.length += 1;
            place += 1;
        }
        self
    }

    const fn newline(mut self) -> Self {
        if self.length < N {
            self.bytes[self.length] = b'\n';
        }
        self.length += 1;
        self
    }

    const fn field(self, name: &str, value: &str) -> Self {
        self.text(name).text(": ").text(value).newline()
    }

    const fn list(self, name: &str, values: &[&str]) -> Self {
        let mut written = self.text(name).text(":");
        let mut place = 0;
        while place < values.len() {
            written = written.text(" ").text(values[place]);
            place += 1;
        }
        written.newline()
    }

    const fn truth(self, name: &str, value: bool) -> Self {
        self.field(name, if value { "yes" } else { "no" })
    }

    const fn manifest(name: &str, summary: &str, needs: Option<Needs>) -> Self {
        let written = Self {
            bytes: [0; N],
            length: 0,
        };
        let written = written
            .field("Task", name)
            .field("Summary", summary)
            .field("SDK", concat!("task-sdk ", env!("CARGO_PKG_VERSION")));
        match needs {
            None => written,
            Some(needs) => written
                .list("Commands", needs.commands)
                .truth("Environments", needs.environments)
                .truth("Network", needs.network)
                .truth("HTTP", needs.http)
                .list("Uploads", needs.uploads),
        }
    }
}

/// The length of a manifest in bytes.
pub const fn manifest_length(name: &str, summary: &str, needs: Option<Needs>) -> usize {
    Writer::<0>::manifest(name, summary, needs).length
}

/// A manifest of this length.
pub const fn manifest<const N: usize>(name: &str, summary: &str, needs: Option<Needs>) -> [u8; N] {
    Writer::<N>::manifest(name, summary, needs).bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_is_made_while_compiling() {
        const NEEDS: Needs = Needs {
            commands: &["sbuild", "dpkg"],
            uploads: &["debian:upload"],
            ..Needs::NOTHING
        };
        const LENGTH: usize = manifest_length("x", "Two\nlines", Some(NEEDS));
        const MANIFEST: [u8; LENGTH] = manifest("x", "Two\nlines", Some(NEEDS));
        let version = env!("CARGO_PKG_VERSION");
        assert_eq!(
            std::str::from_utf8(&MANIFEST).unwrap(),
            format!(
                "Task: x\nSummary: Two lines\nSDK: task-sdk {version}\nCommands: sbuild dpkg\nEnvironments: no\nNetwork: no\nHTTP: no\nUploads: debian:upload\n"
            )
        );
    }
}
