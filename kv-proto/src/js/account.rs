//! Which API level the server speaks: the answer to `$JS.API.INFO`.

use serde::Deserialize;

use super::message::nullable;

/// What matters here of what JetStream reports of the account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub(crate) struct AccountInfo {
    #[serde(deserialize_with = "nullable")]
    api: Api,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
struct Api {
    level: u32,
}

impl AccountInfo {
    /// Returns the API level of the server that answers: 0 up to 2.10, 1 for
    /// 2.11, and so on.
    pub(crate) const fn api_level(&self) -> u32 {
        self.api.level
    }
}

#[cfg(test)]
mod tests {
    use super::super::message::ApiReply;
    use super::*;

    #[test]
    fn servers_before_2_11_tell_no_level() {
        let level = |json: &[u8]| match ApiReply::<AccountInfo>::parse(json) {
            Ok(ApiReply::Success(account)) => Some(account.api_level()),
            Ok(ApiReply::Failure(_)) | Err(_) => None,
        };
        assert_eq!(
            level(br#"{"memory":0,"api":{"total":1,"errors":0}}"#),
            Some(0)
        );
        assert_eq!(
            level(br#"{"api":{"level":5,"total":305,"errors":79}}"#),
            Some(5)
        );
        assert_eq!(level(br#"{"api":null}"#), Some(0));
        let off = br#"{"error":{"code":503,"err_code":10039,"description":"x"}}"#;
        assert_eq!(level(off), None);
    }
}
