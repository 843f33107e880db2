//! What is wrong with a document: every violation, each with its place, its kind and a sentence.

use std::borrow::Cow;
use std::fmt;

/// One step from the outside of a document inwards.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum PathPart {
    /// A key of an object, or `__root__`: a rule about the object as a whole.
    Name(Cow<'static, str>),
    /// A position in an array, from 0.
    Index(usize),
}

impl From<&'static str> for PathPart {
    fn from(name: &'static str) -> Self {
        Self::Name(Cow::Borrowed(name))
    }
}

impl From<usize> for PathPart {
    fn from(index: usize) -> Self {
        Self::Index(index)
    }
}

impl fmt::Display for PathPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Index(index) => write!(f, "{index}"),
        }
    }
}

/// The place of rules about an object (or lookup) as a whole.
pub const WHOLE: &str = "__root__";

/// One fault of a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Where it is, from the outside inwards.
    pub location: Vec<PathPart>,
    /// What kind of fault, in the vocabulary of pydantic 1, e.g. `value_error.missing`.
    pub kind: &'static str,
    /// The fault in words, for people.
    pub message: Cow<'static, str>,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (depth, part) in self.location.iter().enumerate() {
            if depth > 0 {
                f.write_str(".")?;
            }
            part.fmt(f)?;
        }
        write!(f, ": {} ({})", self.message, self.kind)
    }
}

/// Why one value is refused: a [`Violation`] whose place is still to be added.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// See [`Violation::kind`].
    pub kind: &'static str,
    /// See [`Violation::message`].
    pub message: Cow<'static, str>,
}

impl Refusal {
    /// A refusal of a given kind.
    pub fn new(kind: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            kind,
            message: message.into(),
        }
    }
}

/// A rule that says only what is wrong gives the plain kind `value_error`.
impl From<&'static str> for Refusal {
    fn from(message: &'static str) -> Self {
        Self::new("value_error", message)
    }
}

impl From<String> for Refusal {
    fn from(message: String) -> Self {
        Self::new("value_error", message)
    }
}

/// Collects violations while a document is read; knows the place that is being read.
#[derive(Debug, Default)]
pub struct Report {
    place: Vec<PathPart>,
    violations: Vec<Violation>,
}

impl Report {
    /// Goes one step inwards; every `enter` has its [`leave`](Self::leave).
    pub fn enter(&mut self, part: impl Into<PathPart>) {
        self.place.push(part.into());
    }

    /// Goes into a key that only the document knows.
    pub fn enter_key(&mut self, key: &str) {
        self.place.push(PathPart::Name(Cow::Owned(key.to_owned())));
    }

    /// Goes one step outwards again.
    pub fn leave(&mut self) {
        self.place.pop();
    }

    /// How many steps inside the document the place is that is being read.
    pub fn depth(&self) -> usize {
        self.place.len()
    }

    /// Records a fault of the place that is being read.
    pub fn refuse(&mut self, kind: &'static str, message: impl Into<Cow<'static, str>>) {
        self.add(Refusal::new(kind, message));
    }

    /// Records a fault of the place that is being read.
    pub fn add(&mut self, refusal: Refusal) {
        self.violations.push(Violation {
            location: self.place.clone(),
            kind: refusal.kind,
            message: refusal.message,
        });
    }

    /// Records a fault of the object that is being read, as a whole.
    pub fn add_whole(&mut self, refusal: Refusal) {
        self.enter(WHOLE);
        self.add(refusal);
        self.leave();
    }

    /// The number of violations so far, for [`forget_since`](Self::forget_since).
    pub fn mark(&self) -> usize {
        self.violations.len()
    }

    /// Drops the violations since a mark: another alternative of a union accepted the value.
    pub fn forget_since(&mut self, mark: usize) {
        self.violations.truncate(mark);
    }

    /// Everything that was found.
    pub fn into_violations(self) -> Vec<Violation> {
        self.violations
    }
}
