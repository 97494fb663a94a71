//! Request bodies into values, with the strictness and the error texts of each server version.

use kv_proto::Timestamp;

use super::error::ApiError;
use super::json::Json;
use super::version::Version;

/// Reads a request body.
///
/// # Errors
///
/// `invalid JSON`, in the words of that version.
pub(crate) fn request<T: Default>(
    version: Version,
    body: &[u8],
    go_type: &'static str,
    member: impl FnMut(&mut T, &str, &Json, &mut Decoder) -> bool,
) -> Result<T, ApiError> {
    let bad = |why: String| ApiError::invalid_json(&why, version.explains_bad_json());
    let strict = version.has_strict_json();
    let parsed = if version.explains_bad_json() {
        Json::parse_stream(body).map_err(|syntax| match Json::parse(body) {
            Err(plain) if !strict => bad(plain.plain()),
            _ => bad(syntax.located()),
        })?
    } else {
        Some(Json::parse(body).map_err(|syntax| bad(syntax.plain()))?)
    };
    let mut decoder = Decoder {
        strict,
        error: None,
        fatal: None,
        tells_first: version.tells_first_json_error(),
    };
    let mut out = T::default();
    if let Some(json) = parsed {
        decoder.object(&json, go_type, &mut out, member);
    }
    match decoder.fatal.or(decoder.error) {
        None => Ok(out),
        Some(why) => Err(bad(why)),
    }
}

/// Reads a body that no version is strict about; `None` if it is malformed.
pub(crate) fn lenient<T: Default>(
    body: &[u8],
    member: impl FnMut(&mut T, &str, &Json, &mut Decoder) -> bool,
) -> Option<T> {
    plain(body, member).ok()
}

/// Reads a body that no version is strict about.
///
/// # Errors
///
/// What is wrong with it, in Go's words.
pub(crate) fn plain<T: Default>(
    body: &[u8],
    member: impl FnMut(&mut T, &str, &Json, &mut Decoder) -> bool,
) -> Result<T, String> {
    let json = Json::parse(body).map_err(|syntax| syntax.plain())?;
    let mut decoder = Decoder {
        strict: false,
        error: None,
        fatal: None,
        tells_first: false,
    };
    let mut out = T::default();
    decoder.object(&json, "", &mut out, member);
    match decoder.fatal.or(decoder.error) {
        None => Ok(out),
        Some(why) => Err(why),
    }
}

/// Whether a body begins like an object or array, without which some requests ignore it.
pub(crate) fn is_structured(body: &[u8]) -> bool {
    let first = body.iter().find(|byte| !b" \t\r\n".contains(byte));
    matches!(first, Some(b'{' | b'['))
}

/// Whether a body says nothing: no bytes, or an object without members.
pub(crate) fn is_empty(body: &[u8]) -> bool {
    let blank = |byte: &u8| b" \t\r\n".contains(byte);
    let mut said = body.iter().filter(|byte| !blank(byte));
    body.is_empty() || (said.next(), said.next(), said.next()) == (Some(&b'{'), Some(&b'}'), None)
}

/// Collects the first error, as Go's decoder does, while reading on.
#[derive(Debug)]
pub(crate) struct Decoder {
    strict: bool,
    error: Option<String>,
    /// What a type's own reading found wrong, where that ends the reading and is told before all else.
    fatal: Option<String>,
    tells_first: bool,
}

impl Decoder {
    pub(crate) fn fail(&mut self, why: String) {
        self.error.get_or_insert(why);
    }

    fn abort(&mut self, why: String) {
        let place = if self.tells_first {
            &mut self.error
        } else {
            &mut self.fatal
        };
        place.get_or_insert(why);
    }

    fn mismatch(&mut self, json: &Json, go_type: &str) {
        let kind = json.kind();
        self.fail(format!(
            "json: cannot unmarshal {kind} into Go value of type {go_type}"
        ));
    }

    /// Gives every member, its name in lower case as Go ignores case, to `member`, which returns whether
    /// it knows it.
    pub(crate) fn object<T>(
        &mut self,
        json: &Json,
        go_type: &str,
        out: &mut T,
        mut member: impl FnMut(&mut T, &str, &Json, &mut Self) -> bool,
    ) {
        match json {
            Json::Null => {}
            Json::Object(members) => {
                for (name, value) in members {
                    let known = if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
                        member(out, &name.to_ascii_lowercase(), value, self)
                    } else {
                        member(out, name, value, self)
                    };
                    if !known && self.strict {
                        self.fail(format!("json: unknown field {name:?}"));
                    }
                }
            }
            Json::Bool(_) | Json::Number(_) | Json::Text(_) | Json::Array(_) => {
                self.mismatch(json, go_type);
            }
        }
    }

    pub(crate) fn text(&mut self, json: &Json, out: &mut String) -> bool {
        match json {
            Json::Null => {}
            Json::Text(text) => out.clone_from(text),
            Json::Bool(_) | Json::Number(_) | Json::Array(_) | Json::Object(_) => {
                self.mismatch(json, "string")
            }
        }
        true
    }

    pub(crate) fn bool(&mut self, json: &Json, out: &mut bool) -> bool {
        match json {
            Json::Null => {}
            Json::Bool(value) => *out = *value,
            Json::Number(_) | Json::Text(_) | Json::Array(_) | Json::Object(_) => {
                self.mismatch(json, "bool")
            }
        }
        true
    }

    /// A number of any integer type; `T` decides what fits.
    pub(crate) fn number<T: std::str::FromStr>(&mut self, json: &Json, out: &mut T) -> bool {
        match json {
            Json::Null => {}
            Json::Number(text) => match text.parse() {
                Ok(value) => *out = value,
                Err(_) => {
                    self.fail(format!(
                        "json: cannot unmarshal number {text} into Go value of type int64"
                    ));
                }
            },
            Json::Bool(_) | Json::Text(_) | Json::Array(_) | Json::Object(_) => {
                self.mismatch(json, "int64")
            }
        }
        true
    }

    pub(crate) fn texts(&mut self, json: &Json, out: &mut Vec<String>) -> bool {
        match json {
            Json::Null => out.clear(),
            Json::Array(values) => {
                out.clear();
                for value in values {
                    let mut text = String::new();
                    self.text(value, &mut text);
                    out.push(text);
                }
            }
            Json::Bool(_) | Json::Number(_) | Json::Text(_) | Json::Object(_) => {
                self.mismatch(json, "[]string")
            }
        }
        true
    }

    /// A list of objects; `null` within it is an empty one.
    pub(crate) fn list<T: Default>(
        &mut self,
        json: &Json,
        out: &mut Vec<T>,
        mut read: impl FnMut(&mut T, &Json, &mut Self),
    ) -> bool {
        match json {
            Json::Null => out.clear(),
            Json::Array(values) => {
                out.clear();
                for value in values {
                    let mut one = T::default();
                    read(&mut one, value, self);
                    out.push(one);
                }
            }
            Json::Bool(_) | Json::Number(_) | Json::Text(_) | Json::Object(_) => {
                self.mismatch(json, "[]struct")
            }
        }
        true
    }

    pub(crate) fn time(&mut self, json: &Json, out: &mut Option<Timestamp>) -> bool {
        match json {
            Json::Null => *out = None,
            Json::Text(text) => match Timestamp::parse_rfc3339(text) {
                Some(time) => *out = Some(time),
                None if text == "0001-01-01T00:00:00Z" => *out = None,
                None => self.abort(format!("parsing time {text:?}: cannot parse {text:?}")),
            },
            Json::Bool(_) | Json::Number(_) | Json::Array(_) | Json::Object(_) => {
                self.abort("Time.UnmarshalJSON: input is not a JSON string".to_owned())
            }
        }
        true
    }

    /// A word of an enumeration.
    pub(crate) fn word<T: Copy>(&mut self, json: &Json, words: &[(&str, T)], out: &mut T) -> bool {
        let Json::Text(text) = json else {
            if *json != Json::Null {
                self.abort("can not unmarshal".to_owned());
            }
            return true;
        };
        match words.iter().find(|(word, _)| word == text) {
            Some((_, value)) => *out = *value,
            None => self.abort(format!("can not unmarshal {:?}", format!("{text:?}"))),
        }
        true
    }

    pub(crate) fn map(
        &mut self,
        json: &Json,
        out: &mut std::collections::BTreeMap<String, String>,
    ) -> bool {
        match json {
            Json::Null => {}
            Json::Object(members) => {
                for (name, value) in members {
                    let mut text = String::new();
                    self.text(value, &mut text);
                    out.insert(name.clone(), text);
                }
            }
            Json::Bool(_) | Json::Number(_) | Json::Text(_) | Json::Array(_) => {
                self.mismatch(json, "map[string]string")
            }
        }
        true
    }
}
