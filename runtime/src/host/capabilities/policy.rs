//! What the operator of a worker grants to tasks: a file of lines, of which the last that fits decides.
//!
//! ```text
//! # allow or deny, a task or *, a capability or *, and values if it is only about some
//! allow * *
//! deny  * command bash sh
//! allow mytask upload debian:package-build-log
//! ```

use super::Capability;
use std::fmt;
use std::path::{Path, PathBuf};

/// Why a policy cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// The file cannot be read.
    #[error("policy {path}: {error}; check its name and permissions")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        error: std::io::Error,
    },
    /// A line is no rule.
    #[error(
        "policy {path}: line {line}: {why}; write `allow TASK CAPABILITY [VALUE…]` or `deny …`, with command, environment, network, http, upload, wasi or * as capability"
    )]
    Line {
        /// The file.
        path: PathBuf,
        /// Number of the line.
        line: usize,
        /// What is wrong with it.
        why: String,
    },
}

/// The rules of an operator, in their order.
#[derive(Debug, Clone)]
pub struct Policy {
    rules: Vec<Rule>,
}

/// One line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    allow: bool,
    task: String,
    /// None: every capability, except that of WASI, which must be named.
    capability: Option<Capability>,
    /// Empty: every value.
    values: Vec<String>,
    source: String,
}

impl Default for Policy {
    /// Without a file every task gets what its manifest asks for, and nothing of WASI.
    fn default() -> Self {
        Self {
            rules: vec![Rule {
                allow: true,
                task: "*".to_owned(),
                capability: None,
                values: Vec::new(),
                source: "no policy file".to_owned(),
            }],
        }
    }
}

impl Policy {
    /// Reads a file. What none of its lines allows is denied.
    pub fn read(path: &Path) -> Result<Self, PolicyError> {
        let text = std::fs::read_to_string(path).map_err(|error| PolicyError::Read {
            path: path.to_owned(),
            error,
        })?;
        Self::parse(&text, path)
    }

    fn parse(text: &str, path: &Path) -> Result<Self, PolicyError> {
        let mut rules = Vec::new();
        for (place, line) in text.lines().enumerate() {
            let content = line.split('#').next().unwrap_or_default();
            let words: Vec<&str> = content.split_whitespace().collect();
            if words.is_empty() {
                continue;
            }
            let source = format!("{}:{}", path.display(), place + 1);
            rules.push(
                Rule::parse(&words, source).map_err(|why| PolicyError::Line {
                    path: path.to_owned(),
                    line: place + 1,
                    why,
                })?,
            );
        }
        Ok(Self { rules })
    }

    /// The last rule that says something about this use of a capability by a task.
    pub(super) fn decisive(
        &self,
        task: &str,
        capability: Capability,
        value: &str,
    ) -> Option<&Rule> {
        let mut rules = self.rules.iter().rev();
        rules.find(|rule| {
            rule.is_about(task, capability)
                && (rule.names(value) || rule.denies_program_of_path(capability, value))
        })
    }

    /// Whether a task is given an empty WASI, for which it needs no manifest.
    pub fn allows_wasi(&self, task: &str) -> bool {
        let rule = self.decisive(task, Capability::Wasi, "");
        rule.is_some_and(Rule::allows)
    }

    /// The rule that decides whether some use of a capability, of whatever value, can be allowed: the last that allows any, unless one
    /// about all values comes behind it.
    pub(super) fn decisive_for_any(&self, task: &str, capability: Capability) -> Option<&Rule> {
        let mut rules = self.rules.iter().rev();
        rules.find(|rule| rule.is_about(task, capability) && (rule.allow || rule.names("*")))
    }
}

impl Rule {
    fn parse(words: &[&str], source: String) -> Result<Self, String> {
        let [verb, task, capability, values @ ..] = words else {
            return Err("a word is missing".to_owned());
        };
        let allow = match *verb {
            "allow" => true,
            "deny" => false,
            other => return Err(format!("{other:?} is neither allow nor deny")),
        };
        let capability = match *capability {
            "*" => None,
            name => {
                Some(Capability::named(name).ok_or_else(|| format!("{name:?} is no capability"))?)
            }
        };
        let takes_values = capability.is_some_and(Capability::has_values);
        if !values.is_empty() && !takes_values {
            return Err("only command and upload have values".to_owned());
        }
        Ok(Self {
            allow,
            task: task.to_lowercase(),
            capability,
            values: values.iter().map(|&value| value.to_owned()).collect(),
            source,
        })
    }

    /// Whether it allows.
    pub fn allows(&self) -> bool {
        self.allow
    }

    fn is_about(&self, task: &str, capability: Capability) -> bool {
        let named = match self.capability {
            Some(named) => named == capability,
            None => capability != Capability::Wasi,
        };
        named && (self.task == "*" || self.task == task)
    }

    /// A program that is denied by its name is denied by its paths as well: whoever denies bash means /bin/bash, too. One that is allowed
    /// by its name is not allowed by a path: that might be another program.
    fn denies_program_of_path(&self, capability: Capability, value: &str) -> bool {
        let name = value.rsplit_once('/').map(|(_, name)| name);
        capability == Capability::Command
            && !self.allow
            && name.is_some_and(|name| self.names(name))
    }

    fn names(&self, value: &str) -> bool {
        self.values.is_empty()
            || self
                .values
                .iter()
                .any(|named| named == value || named == "*")
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verb = if self.allow { "allow" } else { "deny" };
        let capability = self.capability.map_or("*", Capability::name);
        write!(out, "{}: {verb} {} {capability}", self.source, self.task)?;
        self.values
            .iter()
            .try_for_each(|value| write!(out, " {value}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(text: &str) -> Policy {
        Policy::parse(text, Path::new("p")).unwrap()
    }

    fn allowed(policy: &Policy, task: &str, capability: Capability, value: &str) -> bool {
        let rule = policy.decisive(task, capability, value);
        rule.is_some_and(Rule::allows)
    }

    #[test]
    fn the_last_line_that_fits_decides() {
        let policy = policy("allow * *\ndeny * command bash # no\nallow a command bash\n");
        assert!(allowed(&policy, "a", Capability::Command, "bash"));
        assert!(!allowed(&policy, "b", Capability::Command, "bash"));
        assert!(allowed(&policy, "b", Capability::Command, "sh"));
        assert!(
            !allowed(&policy, "b", Capability::Wasi, ""),
            "must be named"
        );
    }

    #[test]
    fn a_program_that_is_denied_by_name_is_denied_by_every_path() {
        let policy = policy("allow * *\ndeny * command bash\nallow a command dpkg /opt/bash");
        for path in ["/bin/bash", "./bash", "a/b/bash", "//bash"] {
            assert!(!allowed(&policy, "a", Capability::Command, path), "{path}");
        }
        assert!(
            allowed(&policy, "a", Capability::Command, "/opt/bash"),
            "named later"
        );
        assert!(!allowed(&policy, "b", Capability::Command, "/opt/bash"));
        let strict = super::tests::policy("allow a command dpkg");
        assert!(!allowed(&strict, "a", Capability::Command, "/tmp/dpkg"));
    }

    #[test]
    fn one_value_that_is_allowed_is_some_use() {
        let some = |text: &str| {
            let policy = policy(text);
            let rule = policy.decisive_for_any("a", Capability::Command);
            rule.is_some_and(Rule::allows)
        };
        assert!(some("allow a command x"));
        assert!(some("allow * *\ndeny a command x"));
        assert!(some("deny * *\nallow a command x\ndeny a command y"));
        assert!(!some("allow a command x\ndeny a command"));
        assert!(!some("allow a command x\ndeny * *"));
        assert!(!some("allow b command\nallow a http"));
    }

    #[test]
    fn what_no_line_allows_is_denied() {
        let policy = policy("\n# nothing\n");
        assert!(!allowed(&policy, "a", Capability::Http, ""));
        assert!(allowed(&Policy::default(), "a", Capability::Http, ""));
        assert!(!allowed(&Policy::default(), "a", Capability::Wasi, ""));
    }

    #[test]
    fn a_line_that_is_no_rule_is_told_by_its_number() {
        for text in [
            "\nallow x",
            "\npermit * *",
            "\nallow * flying",
            "\nallow * http x",
        ] {
            let error = Policy::parse(text, Path::new("p")).unwrap_err();
            assert!(
                error.to_string().starts_with("policy p: line 2: "),
                "{error}"
            );
        }
    }
}
