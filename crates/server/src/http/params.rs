//! Parameters in a URL's query, read into typed structures. Plain text in, plain data out.

use ibid_protocol::ApiError;
use percent_encoding::percent_decode_str;
use serde::Deserialize as _;
use serde::de::value::{Error as ValueError, MapDeserializer};
use serde::de::{self, DeserializeOwned, Error as _, IntoDeserializer, Visitor};
use std::borrow::Cow;

/// Parameters of one request.
const MAX_PARAMS: usize = 64;

/// Decoded parameters, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Params(Vec<(String, String)>);

impl Params {
    /// Takes a query (`a=1&b=two+words`) apart.
    pub fn of(query: &str) -> Result<Self, ApiError> {
        let mut pairs = Vec::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            if pairs.len() == MAX_PARAMS {
                return Err(ApiError::validation(
                    "query string",
                    format!("must have at most {MAX_PARAMS} parameters"),
                ));
            }
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let name = decode(name).ok_or_else(|| ApiError::validation("query string", "a parameter's name is not UTF-8"))?;
            let value = decode(value).ok_or_else(|| ApiError::validation(&name, "is not UTF-8"))?;
            pairs.push((name, value));
        }
        Ok(Self(pairs))
    }

    /// Reads the parameters into `T`. A parameter without a value (`?status=`) counts as absent; one that `T` does not
    /// know is ignored.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T, ApiError> {
        let given = self
            .0
            .iter()
            .filter(|(_, value)| !value.is_empty())
            .map(|(name, value)| (name.as_str(), Value(value)));
        let map = MapDeserializer::<_, ValueError>::new(given);
        serde_path_to_error::deserialize(map).map_err(|error| {
            let path = error.path().to_string();
            let issue = error.into_inner().to_string();
            // A parameter that is missing or given twice is named by the message only.
            let named = issue.split('`').nth(1).filter(|_| path == ".").map(str::to_owned);
            ApiError::validation(&named.unwrap_or(path), issue)
        })
    }
}

fn decode(text: &str) -> Option<String> {
    let spaced: Cow<'_, str> = if text.contains('+') {
        text.replace('+', " ").into()
    } else {
        text.into()
    };
    percent_decode_str(&spaced).decode_utf8().ok().map(Cow::into_owned)
}

/// A value, which becomes what is wanted of it.
#[derive(Clone, Copy)]
struct Value<'a>(&'a str);

impl<'de> IntoDeserializer<'de, ValueError> for Value<'de> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

macro_rules! numbers {
    ($($method:ident $visit:ident $type:ty, $what:literal;)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
            match self.0.parse::<$type>() {
                Ok(number) => visitor.$visit(number),
                Err(_) => Err(ValueError::custom(format_args!(concat!("must be ", $what, ", not `{}`"), self.0.chars().take(64).collect::<String>()))),
            }
        })*
    };
}

impl<'de> de::Deserializer<'de> for Value<'de> {
    type Error = ValueError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        visitor.visit_borrowed_str(self.0)
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        match self.0 {
            "true" | "1" | "yes" => visitor.visit_bool(true),
            "false" | "0" | "no" => visitor.visit_bool(false),
            _ => Err(ValueError::custom("must be `true` or `false`")),
        }
    }

    numbers! {
        deserialize_u8 visit_u8 u8, "a whole number from 0 to 255";
        deserialize_u16 visit_u16 u16, "a whole number from 0 to 65535";
        deserialize_u32 visit_u32 u32, "a whole number from 0 to 4294967295";
        deserialize_u64 visit_u64 u64, "a whole number from 0";
        deserialize_i32 visit_i32 i32, "a whole number";
        deserialize_i64 visit_i64 i64, "a whole number";
        deserialize_f32 visit_f32 f32, "a number";
        deserialize_f64 visit_f64 f64, "a number";
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, ValueError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ValueError> {
        self.0.into_deserializer().deserialize_enum(name, variants, visitor)
    }

    serde::forward_to_deserialize_any! {
        i8 i16 i128 u128 char str string bytes byte_buf unit unit_struct seq tuple tuple_struct map struct identifier ignored_any
    }
}

/// Reads `T` from the query of a URL.
pub(super) fn from_str<T: DeserializeOwned>(query: &str) -> Result<T, ApiError> {
    Params::of(query)?.parse()
}

/// Reads a value of a form field as a URL's query would be read.
pub(super) fn flag(field: &str, value: &str) -> Result<bool, ApiError> {
    bool::deserialize(Value(value)).map_err(|error| ApiError::validation(field, error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde::Deserialize;

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Order {
        Asc,
        Desc,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(default)]
    struct List {
        name: Option<String>,
        limit: u32,
        after: Option<i64>,
        full: bool,
        order: Order,
    }

    impl Default for List {
        fn default() -> Self {
            Self {
                name: None,
                limit: 50,
                after: None,
                full: false,
                order: Order::Asc,
            }
        }
    }

    #[test]
    fn reads_what_is_wanted() {
        assert_eq!(from_str::<List>(""), Ok(List::default()));
        let wanted = List {
            name: Some("12 & ü".into()),
            limit: 7,
            after: Some(-3),
            full: true,
            order: Order::Desc,
        };
        assert_eq!(
            from_str::<List>("name=12+%26%20%C3%BC&limit=7&after=-3&full=true&order=desc&other=x"),
            Ok(wanted)
        );
        assert_eq!(from_str::<List>("limit=&name="), Ok(List::default()));
    }

    #[test]
    fn names_what_is_wrong() {
        for (query, field) in [
            ("limit=-1", "limit"),
            ("limit=x", "limit"),
            ("full=maybe", "full"),
            ("order=up", "order"),
            ("limit=1&limit=2", "limit"),
            ("name=%ff", "name"),
        ] {
            let error = from_str::<List>(query).expect_err(query);
            assert_eq!(
                error.details.get("field").and_then(|f| f.as_str()),
                Some(field),
                "{query}: {error:?}"
            );
        }
    }

    proptest! {
        #[test]
        fn no_query_panics(query in ".{0,200}") {
            let _ = from_str::<List>(&query);
        }

        #[test]
        fn a_value_survives(value in ".{1,40}") {
            let encoded = percent_encoding::utf8_percent_encode(&value, percent_encoding::NON_ALPHANUMERIC).to_string();
            let list = from_str::<List>(&format!("name={encoded}")).expect("encoded");
            prop_assert_eq!(list.name, Some(value));
        }
    }
}
