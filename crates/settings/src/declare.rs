//! The macros that declare settings.

/// Declares a layer's settings: makes the struct, its `Default`, and its [`LayerSettings`](crate::LayerSettings).
///
/// Each group of fields but `keys` may be left out:
///
/// * `keys`: a key, its options, the field, and the default. The documentation of the field is that of the setting. The type of
///   the field decides which values the key takes ([`SettingValue`](crate::SettingValue)), or the [`Format`](crate::Format) after `as`.
///   The options in brackets are methods of [`Key`](crate::Key): `range(least, most)`, `address()`, `live()`.
/// * `parts`: settings of a lower layer, or of another module.
/// * `fixed`: fields that no key sets, with their values.
/// * `secrets`: keys of secrets that may be kept in a file, which another key names.
///
/// ```
/// use std::path::PathBuf;
/// use ibid_types::secret::Secret;
///
/// ibid_settings::settings! {
///     /// The settings of the mailer.
///     pub struct MailSettings {
///         keys {
///             /// Seconds to reach the mail server.
///             "mail.connect_timeout_seconds" [range(1, 600), live()] => connect_timeout: std::time::Duration = std::time::Duration::from_secs(5),
///             /// Password for it; never shown.
///             "mail.password" => password: Secret = Secret::default(),
///             /// A file whose content is the password, in place of mail.password.
///             "mail.password_file" => password_file: Option<PathBuf> = None,
///         }
///         secrets { "mail.password" => password or password_file }
///     }
/// }
/// ```
#[macro_export]
macro_rules! settings {
    (
        $(#[$meta:meta])*
        $visibility:vis struct $name:ident {
            keys { $(
                $(#[doc = $line:literal])+
                $key:literal $(as $format:ty)? $([$($option:ident($($argument:expr),*)),+])? => $field:ident: $type:ty = $default:expr
            ),* $(,)? }
            $(parts { $( $(#[$part_meta:meta])* $part:ident: $part_type:ty ),* $(,)? })?
            $(fixed { $( $(#[$fixed_meta:meta])* $fixed:ident: $fixed_type:ty = $fixed_value:expr ),* $(,)? })?
            $(secrets { $( $secret_key:literal => $secret:ident or $file:ident ),* $(,)? })?
        }
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone)]
        $visibility struct $name {
            $( $(#[doc = $line])+ pub $field: $type, )*
            $($( $(#[$part_meta])* pub $part: $part_type, )*)?
            $($( $(#[$fixed_meta])* pub $fixed: $fixed_type, )*)?
        }

        impl ::core::default::Default for $name {
            fn default() -> Self {
                Self {
                    $( $field: $default, )*
                    $($( $part: ::core::default::Default::default(), )*)?
                    $($( $fixed: $fixed_value, )*)?
                }
            }
        }

        impl $crate::LayerSettings for $name {
            fn keys(keys: &mut ::std::vec::Vec<$crate::Key>) {
                $( keys.push(
                    $crate::Key::new(
                        $key,
                        <$crate::format_of!($($format)?) as $crate::Format<$type>>::KIND,
                        || {
                            let value: $type = $default;
                            <$crate::format_of!($($format)?) as $crate::Format<$type>>::to_toml(&value)
                        },
                        &[$($line),+],
                    )
                    $($(.$option($($argument),*))+)?
                ); )*
                $($( <$part_type as $crate::LayerSettings>::keys(keys); )*)?
            }

            fn read(values: &$crate::Values) -> ::core::result::Result<Self, $crate::InvalidValue> {
                ::core::result::Result::Ok(Self {
                    $( $field: values.read::<$type, $crate::format_of!($($format)?)>($key)?, )*
                    $($( $part: $crate::LayerSettings::read(values)?, )*)?
                    $($( $fixed: $fixed_value, )*)?
                })
            }

            fn write(&self, values: &mut $crate::Values) {
                $( values.insert($key, <$crate::format_of!($($format)?) as $crate::Format<$type>>::to_toml(&self.$field)); )*
                $($( $crate::LayerSettings::write(&self.$part, values); )*)?
            }

            fn read_secret_files(&mut self) -> ::core::result::Result<(), $crate::SecretFileError> {
                $($( $crate::read_secret_file($secret_key, &mut self.$secret, &mut self.$file)?; )*)?
                $($( $crate::LayerSettings::read_secret_files(&mut self.$part)?; )*)?
                ::core::result::Result::Ok(())
            }
        }
    };
}

/// The format that a key names, or the usual one.
#[doc(hidden)]
#[macro_export]
macro_rules! format_of {
    () => {
        $crate::Direct
    };
    ($format:ty) => {
        $format
    };
}

/// Implements [`SettingValue`](crate::SettingValue) for an enum: a word for each variant.
#[macro_export]
macro_rules! choice {
    ($type:ty { $( $word:literal => $variant:ident ),+ $(,)? }) => {
        impl $crate::SettingValue for $type {
            const KIND: $crate::Kind = $crate::Kind::Choice(&[$($word),+]);

            fn from_toml(value: &$crate::Value) -> ::core::result::Result<Self, ::std::string::String> {
                match value.as_str() {
                    $( ::core::option::Option::Some($word) => ::core::result::Result::Ok(Self::$variant), )+
                    _ => ::core::result::Result::Err(::std::format!("must be {}, not `{value}`", [$($word),+].join(" or "))),
                }
            }

            fn to_toml(&self) -> $crate::Value {
                $crate::Value::from(match self {
                    $( Self::$variant => $word, )+
                })
            }
        }
    };
}
