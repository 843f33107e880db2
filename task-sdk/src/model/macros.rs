//! The declarations: `model!` for objects, `choices!` for words, `union!` for alternatives.

/// Declares an object with named fields.
///
/// A field reads `pub NAME [as "KEY"]: TYPE [where [RULE, ...]] [= DEFAULT]`. Without a default it is required; `Option`
/// alone only allows null. `pub NAME: ..MODEL` takes the keys of another model into this one. After the braces,
/// `rule |partial| ...;` adds a rule about the object as a whole: it sees the valid fields as `Some`, runs even if other
/// fields are faulty, and its refusal stands at `__root__`. `before |keys, report| ...;`
/// looks at the keys first: it gives back the keys to read, or refuses and ends the reading.
///
/// The macro writes the struct, [`Model`](crate::model::Model) and [`FieldType`](crate::model::FieldType); documentation
/// comments become the descriptions of the JSON Schema.
///
/// ```
/// use task_sdk::prelude::*;
///
/// model! {
///     /// How long a test may take.
///     pub struct Timeout {
///         /// All tests together, in seconds.
///         pub overall as "global": Option<i64> where [at_least(0)] = None,
///         /// One test, in seconds.
///         pub test: Option<i64> where [at_least(0)] = None,
///     }
///     rule |partial| match (partial.overall, partial.test) {
///         (Some(Some(overall)), Some(Some(test))) if test > overall => {
///             Err("test is more than global: lower it".into())
///         }
///         _ => Ok(()),
///     };
/// }
///
/// let violations = Timeout::parse(&serde_json::json!({"global": -1, "x": 1})).unwrap_err();
/// assert_eq!(violations[0].kind, "value_error.number.not_ge");
/// assert_eq!(violations[1].kind, "value_error.extra");
/// ```
#[macro_export]
macro_rules! model {
    (
        $(#[doc = $doc:literal])*
        pub struct $name:ident {
            $(
                $(#[doc = $field_doc:literal])*
                pub $field:ident $(as $key:literal)? :
                $(.. $part:ident)?
                $($type:ty $(where [$($rule:expr),+ $(,)?])? $(= $default:expr)?)?
            ),* $(,)?
        }
        $(before $before:expr;)?
        $(rule $whole:expr;)*
    ) => {
        $(#[doc = $doc])*
        #[derive(Debug, Clone, PartialEq)]
        pub struct $name {
            $($(#[doc = $field_doc])* pub $field: $($part)? $($type)?,)*
        }

        const _: () = {
            use $crate::model::__private as private;

            #[allow(missing_docs)]
            pub struct Partial {
                $(pub $field: Option<$($part)? $($type)?>,)*
            }

            impl $crate::model::Model for $name {
                type Partial = Partial;

                const DOC: &'static str = concat!($($doc),*);

                $(fn before<'a>(
                    keys: &'a private::Map<String, private::Value>,
                    report: &mut $crate::model::Report,
                ) -> Option<std::borrow::Cow<'a, private::Map<String, private::Value>>> {
                    $before(keys, report)
                })?

                #[allow(unreachable_patterns)]
                fn read_fields(
                    map: &private::Map<String, private::Value>,
                    report: &mut $crate::model::Report,
                ) -> Option<Self> {
                    let mark = report.mark();
                    let partial = Partial {
                        $($field: $crate::__field!(
                            read(map, report) $field [$($key)?] [$($part)?] [$($type)?]
                            [$($($(&$rule),+)?)?] [$($($default)?)?]
                        ),)*
                    };
                    $(private::apply_rule($whole, &partial, report);)*
                    if report.mark() > mark {
                        return None;
                    }
                    // One pattern: a `?` for each field would be code for each to drop the others.
                    match partial {
                        Partial { $($field: Some($field),)* } => Some(Self { $($field,)* }),
                        _ => None,
                    }
                }

                fn has_key(key: &str) -> bool {
                    $($crate::__field!(has_key(key) $field [$($key)?] [$($part)?]) ||)* false
                }

                fn write_fields(&self, map: &mut private::Map<String, private::Value>) {
                    $($crate::__field!(write(self, map) $field [$($key)?] [$($part)?]);)*
                }

                fn describe(description: &mut $crate::model::Description<'_>) {
                    $($crate::__field!(
                        describe(description, concat!($($field_doc),*))
                        $field [$($key)?] [$($part)?] [$($type)?]
                        [$($($(&$rule),+)?)?] [$($($default)?)?]
                    );)*
                }
            }

            impl $crate::model::FieldType for $name {
                fn read(value: &private::Value, report: &mut $crate::model::Report) -> Option<Self> {
                    private::read_object(value, report)
                }

                fn to_json(&self) -> private::Value {
                    private::write_object(self)
                }

                fn schema(definitions: &mut $crate::model::Definitions) -> private::Value {
                    private::field_schema::<Self>(definitions)
                }
            }
        };
    };
}

/// What [`model!`] writes for one field: `VERB(ARGUMENTS) FIELD [KEY] [PART] [TYPE] [RULES] [DEFAULT]`.
#[doc(hidden)]
#[macro_export]
macro_rules! __field {
    (read($map:ident, $report:ident) $field:ident [] [$part:ident] [] [] []) => {
        private::read_part::<$part>($map, $report)
    };
    (read($map:ident, $report:ident) $field:ident [$($key:literal)?] [] [$type:ty] [$($rule:expr),*] [$($default:expr)?]) => {
        private::read_key::<$type>(
            $map,
            $crate::__key!($field $($key)?),
            &[$($rule),*],
            $crate::__default!($($default)?),
            $report,
        )
    };
    (has_key($found:ident) $field:ident [] [$part:ident]) => {
        <$part as $crate::model::Model>::has_key($found)
    };
    (has_key($found:ident) $field:ident [$($key:literal)?] []) => {
        $found == $crate::__key!($field $($key)?)
    };
    (write($model:ident, $map:ident) $field:ident [] [$part:ident]) => {
        <$part as $crate::model::Model>::write_fields(&$model.$field, $map)
    };
    (write($model:ident, $map:ident) $field:ident [$($key:literal)?] []) => {
        private::write_key($map, $crate::__key!($field $($key)?), &$model.$field)
    };
    (describe($description:ident, $doc:expr) $field:ident [] [$part:ident] [] [] []) => {
        <$part as $crate::model::Model>::describe($description)
    };
    (describe($description:ident, $doc:expr) $field:ident [$($key:literal)?] [] [$type:ty] [$($rule:expr),*] [$($default:expr)?]) => {
        private::describe_key::<$type>(
            $description,
            $crate::__key!($field $($key)?),
            $doc,
            &[$($rule),*],
            $crate::__default!($($default)?),
        )
    };
}

/// The key of a field on the wire.
#[doc(hidden)]
#[macro_export]
macro_rules! __key {
    ($field:ident) => {
        stringify!($field)
    };
    ($field:ident $key:literal) => {
        $key
    };
}

/// A default as a function, if there is one.
#[doc(hidden)]
#[macro_export]
macro_rules! __default {
    () => {
        None
    };
    ($default:expr) => {
        Some(|| $default)
    };
}

/// Declares a field type that is one of some words.
///
/// Other values are refused as `type_error.enum`; `pub literal NAME` instead of `pub enum NAME` refuses as
/// `value_error.const`, for fields whose words are fixed by a format.
///
/// ```
/// use task_sdk::prelude::*;
///
/// choices! {
///     /// What to do about the internet.
///     pub enum NeedsInternet {
///         /// Run the tests that need it.
///         Run = "run",
///         /// Leave them out.
///         Skip = "skip",
///     }
/// }
///
/// assert_eq!(NeedsInternet::Skip.as_str(), "skip");
/// ```
#[macro_export]
macro_rules! choices {
    ($(#[doc = $doc:literal])* pub enum $name:ident { $($body:tt)* }) => {
        $crate::choices!(@ false $(#[doc = $doc])* $name { $($body)* });
    };
    ($(#[doc = $doc:literal])* pub literal $name:ident { $($body:tt)* }) => {
        $crate::choices!(@ true $(#[doc = $doc])* $name { $($body)* });
    };
    (@ $is_literal:literal $(#[doc = $doc:literal])* $name:ident {
        $($(#[doc = $choice_doc:literal])* $choice:ident = $word:literal),* $(,)?
    }) => {
        $(#[doc = $doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name {
            $($(#[doc = $choice_doc])* $choice,)*
        }

        impl $name {
            /// Every choice, in the order of declaration.
            pub const ALL: &'static [Self] = &[$(Self::$choice),*];
            /// Their words, in the same order.
            pub const WORDS: &'static [&'static str] = &[$($word),*];

            /// The word on the wire.
            pub const fn as_str(self) -> &'static str {
                Self::WORDS[self as usize]
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl $crate::model::FieldType for $name {
            fn read(
                value: &$crate::model::__private::Value,
                report: &mut $crate::model::Report,
            ) -> Option<Self> {
                let index = $crate::model::__private::read_choice(value, Self::WORDS, $is_literal, report)?;
                Some(Self::ALL[index])
            }

            fn to_json(&self) -> $crate::model::__private::Value {
                self.as_str().into()
            }

            fn schema(_: &mut $crate::model::Definitions) -> $crate::model::__private::Value {
                $crate::model::__private::choice_schema(Self::WORDS)
            }
        }
    };
}

/// Declares a field type that is one of several types, tried in order; if all refuse, all their violations count.
///
/// ```
/// use task_sdk::prelude::*;
///
/// union! {
///     /// A number, or else text.
///     pub enum NumberOrText {
///         /// A number.
///         Number(i64),
///         /// Text.
///         Text(String),
///     }
/// }
/// ```
#[macro_export]
macro_rules! union {
    (
        $(#[doc = $doc:literal])*
        pub enum $name:ident { $($(#[doc = $case_doc:literal])* $case:ident($type:ty)),* $(,)? }
    ) => {
        $(#[doc = $doc])*
        #[derive(Debug, Clone, PartialEq)]
        pub enum $name {
            $($(#[doc = $case_doc])* $case($type),)*
        }

        impl $crate::model::FieldType for $name {
            fn read(
                value: &$crate::model::__private::Value,
                report: &mut $crate::model::Report,
            ) -> Option<Self> {
                let mark = report.mark();
                $(
                    if let Some(accepted) = $crate::model::read::<$type>(value, report) {
                        report.forget_since(mark);
                        return Some(Self::$case(accepted));
                    }
                )*
                None
            }

            fn to_json(&self) -> $crate::model::__private::Value {
                match self {
                    $(Self::$case(inner) => <$type as $crate::model::FieldType>::to_json(inner),)*
                }
            }

            fn schema(definitions: &mut $crate::model::Definitions) -> $crate::model::__private::Value {
                $crate::model::__private::any_of(vec![
                    $(<$type as $crate::model::FieldType>::schema(definitions)),*
                ])
            }
        }
    };
}
