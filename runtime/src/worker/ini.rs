//! INI files by the rules of Python's `configparser`: keys in any case, comments on lines of their own, values over several lines, a section
//! `[DEFAULT]` for all, `%%` for a percent sign and `%(KEY)s` for the value of another key.

use configparser::ini::{Ini, IniDefault};

/// The section whose keys are in all others.
const DEFAULT: &str = "DEFAULT";

/// How deep a value may be within values.
const DEEPEST: u32 = 10;

/// What a file says.
#[derive(Debug)]
pub(super) struct IniFile(Ini);

impl IniFile {
    /// Reads a text. The error says what is wrong with it, and where.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut lines = text.lines().map(str::trim);
        let first = lines.find(|line| !line.is_empty() && !line.starts_with(['#', ';']));
        if let Some(line) = first.filter(|line| !line.starts_with('[')) {
            return Err(format!("{line:?} is in no section"));
        }
        let mut rules = IniDefault::default();
        DEFAULT.clone_into(&mut rules.default_section);
        rules.case_sensitive = true;
        rules.multiline = true;
        rules.enable_inline_comments = false;
        let mut ini = Ini::new_from_defaults(rules);
        ini.read(text.to_owned())?;
        Ok(Self(ini))
    }

    /// Whether there is a section of this name, which counts as it is written.
    pub fn has_section(&self, name: &str) -> bool {
        self.0.get_map_ref().contains_key(name)
    }

    /// The value of a key, none if it has none. The error says what is wrong with the value.
    pub fn value(&self, section: &str, key: &str) -> Result<Option<String>, String> {
        let Some(raw) = self.raw(section, key) else {
            return Ok(None);
        };
        let mut value = String::new();
        self.expand(section, raw, &mut value, DEEPEST)
            .map_err(|reason| format!("{key}: {reason}"))?;
        Ok(Some(value).filter(|value| !value.is_empty()))
    }

    fn raw(&self, section: &str, key: &str) -> Option<&str> {
        let in_section = |name: &str| {
            let mut keys = self.0.get_map_ref().get(name)?.iter();
            let found = keys.find(|(known, _)| known.to_lowercase() == key.to_lowercase());
            found?.1.as_deref()
        };
        in_section(section).or_else(|| in_section(DEFAULT))
    }

    fn expand(
        &self,
        section: &str,
        raw: &str,
        value: &mut String,
        depth: u32,
    ) -> Result<(), String> {
        if depth == 0 {
            return Err(format!("{raw:?} is within itself"));
        }
        let mut rest = raw;
        while let Some((before, after)) = rest.split_once('%') {
            value.push_str(before);
            if let Some(after) = after.strip_prefix('%') {
                value.push('%');
                rest = after;
                continue;
            }
            let named = after.strip_prefix('(').and_then(|it| it.split_once(")s"));
            let Some((key, after)) = named else {
                return Err(format!(
                    "a percent sign in {raw:?} is written %%, the value of another key %(KEY)s"
                ));
            };
            let other = self.raw(section, key);
            let other = other.ok_or_else(|| format!("{raw:?} names {key:?}, which is no key"))?;
            self.expand(section, other, value, depth - 1)?;
            rest = after;
        }
        value.push_str(rest);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str) -> Result<Option<String>, String> {
        IniFile::parse(text)?.value("General", "key")
    }

    fn is(text: &str, expected: &str) {
        assert_eq!(value(text), Ok(Some(expected.to_owned())), "{text:?}");
    }

    #[test]
    fn values_are_those_that_python_reads() {
        is("[General]\nKEY : = x\n", "= x");
        is("[General]\n; c\n# d\nkey = x ; y # z\n", "x ; y # z");
        is("[General]\nkey = 1\n  # c\n  B=2\n", "1\nB=2");
        is("[General] junk\nkey=1", "1");
        assert_eq!(value("[general]\nkey=1\n"), Ok(None));
        assert_eq!(value("[General]\nkey=\n"), Ok(None));
    }

    #[test]
    fn the_default_section_is_in_all_others() {
        is("[DEFAULT]\nkey=1\n[General]\n", "1");
        is("[DEFAULT]\nkey=1\n[General]\nkey=2\n", "2");
        let file = IniFile::parse("[DEFAULT]\nkey=1\n").expect("a file");
        assert!(!file.has_section("General"));
    }

    #[test]
    fn percent_signs_name_other_keys() {
        is("[General]\nkey = a%%20b\n", "a%20b");
        is("[DEFAULT]\nb=x\n[General]\nkey=%(b)s/%(B)s%%\n", "x/x%");
        for wrong in ["%x", "%(b)", "%(absent)s", "%(key)s", "100%"] {
            let text = format!("[General]\nb = 1\nkey = {wrong}\n");
            assert!(value(&text).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_is_in_no_section_is_an_error() {
        assert!(value("# c\n\nkey=1\n[General]\n").is_err());
        assert_eq!(value(""), Ok(None));
    }
}
