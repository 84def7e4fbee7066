//! Closed sets of words: the same in SQL, proto and JSON.

/// Writes and reads an enum that has `ALL` and `as_str` by its words; a word that is none is an error that names
/// what was expected. The caller adds the field.
macro_rules! words {
    ($name:ty, $what:literal) => {
        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::Error;

            fn from_str(text: &str) -> Result<Self, $crate::Error> {
                Self::ALL.into_iter().find(|one| one.as_str() == text).ok_or_else(|| {
                    let words: Vec<&str> = Self::ALL.into_iter().map(Self::as_str).collect();
                    $crate::Error::unreadable(format!(
                        concat!($what, " {:?} is not one of {}"),
                        $crate::error::shorten(text),
                        words.join(", ")
                    ))
                })
            }
        }
    };
}

pub(crate) use words;
