//! Enums with one string per variant, the same in SQL, proto and JSON.

/// Implements `Display` and `FromStr` for an enum that has `ALL` and `as_str`. The error for an
/// unknown string lists the valid ones. The caller adds the field.
macro_rules! string_enum {
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
                    let names: Vec<&str> = Self::ALL.into_iter().map(Self::as_str).collect();
                    $crate::Error::unreadable(format!(
                        concat!($what, " {:?} is not one of {}"),
                        $crate::error::shorten(text),
                        names.join(", ")
                    ))
                })
            }
        }
    };
}

pub(crate) use string_enum;
