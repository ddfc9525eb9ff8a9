//! Names of enums whose variants are chosen on the command line.

/// Implements `ALL`, `name`, `Display` and `FromStr` for an enum without data.
macro_rules! names {
    ($type:ident { $($variant:ident => $name:literal),+ $(,)? }) => {
        impl $type {
            /// All variants, in the order of the documentation.
            pub const ALL: [Self; [$($name),+].len()] = [$(Self::$variant),+];

            /// Name on the command line and in records.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }
        }

        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.name())
            }
        }

        impl std::str::FromStr for $type {
            type Err = String;

            fn from_str(text: &str) -> Result<Self, String> {
                let named = Self::ALL.into_iter().find(|variant| variant.name() == text);
                named.ok_or_else(|| format!("`{text}` is not one of {}", [$($name),+].join(", ")))
            }
        }
    };
}

pub(crate) use names;
