//! Query parameters.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::failure::Failure;
use crate::ops::{FieldValidation, ListOptions, WriteOptions};

/// Decoded parameters; of repeated ones the first counts, as in the real server.
#[derive(Clone, Debug, Default)]
pub(crate) struct Query(BTreeMap<String, Vec<String>>);

impl Query {
    pub(crate) fn parse(query: Option<&str>) -> Self {
        let mut parameters: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for pair in query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            parameters.entry(decode(name, true)).or_default().push(decode(value, true));
        }
        Self(parameters)
    }

    pub(crate) fn text(&self, name: &str) -> &str {
        self.0.get(name).and_then(|values| values.first()).map_or("", String::as_str)
    }

    fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    pub(crate) fn flag(&self, name: &str) -> bool {
        matches!(self.text(name), "true" | "1") || (self.has(name) && self.text(name).is_empty())
    }

    /// A parameter that is a number; absent or empty is `None`.
    pub(super) fn number(&self, name: &str) -> Result<Option<u64>, Failure> {
        match self.text(name) {
            "" => Ok(None),
            text => text.parse().map(Some).map_err(|_| {
                Failure::bad_request(format!("invalid value {text:?} of parameter {name}: must be a number"))
            }),
        }
    }

    pub(super) fn timeout(&self) -> Result<Option<Duration>, Failure> {
        Ok(self.number("timeoutSeconds")?.filter(|seconds| *seconds > 0).map(Duration::from_secs))
    }

    pub(super) fn list_options(&self) -> Result<ListOptions, Failure> {
        let version = self.text("resourceVersion").to_owned();
        let exact = match self.text("resourceVersionMatch") {
            "" => false,
            _ if version.is_empty() => {
                return Err(invalid_match(
                    "resourceVersionMatch is forbidden unless resourceVersion is provided",
                ));
            }
            "Exact" if version == "0" => {
                return Err(invalid_match(
                    "resourceVersionMatch \"Exact\" is forbidden for resourceVersion \"0\"",
                ));
            }
            "Exact" => true,
            "NotOlderThan" => false,
            other => {
                return Err(invalid_match(&format!(
                    "resourceVersionMatch: Unsupported value: {other:?}: supported values: \"Exact\", \"NotOlderThan\""
                )));
            }
        };
        if self.flag("sendInitialEvents") {
            return Err(invalid_match("sendInitialEvents is forbidden for list"));
        }
        let limit = usize::try_from(self.number("limit")?.unwrap_or(0)).unwrap_or(usize::MAX);
        Ok(ListOptions {
            limit,
            continue_token: self.text("continue").to_owned(),
            resource_version: version,
            exact,
        })
    }

    /// Whether a watch sends the present state first and says when that is done.
    pub(super) fn initial_events(&self) -> Result<bool, Failure> {
        let stated = self.has("sendInitialEvents");
        match (stated, self.text("resourceVersionMatch")) {
            (false, "") => Ok(false),
            (false, _) => Err(invalid_match(
                "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided",
            )),
            (true, "NotOlderThan") => Ok(self.flag("sendInitialEvents")),
            (true, _) => {
                Err(invalid_match("sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"))
            }
        }
    }

    /// `user_agent` names the manager if the parameter does not.
    pub(super) fn write_options(&self, user_agent: Option<&str>) -> Result<WriteOptions, Failure> {
        let validation = match self.text("fieldValidation") {
            "" | "Warn" => FieldValidation::Warn,
            "Ignore" => FieldValidation::Ignore,
            "Strict" => FieldValidation::Strict,
            other => {
                return Err(Failure::bad_request(format!(
                    "fieldValidation: Unsupported value: {other:?}: supported values: \"Ignore\", \"Strict\", \"Warn\""
                )));
            }
        };
        let agent = || user_agent.and_then(|agent| agent.split(['/', ' ']).next()).unwrap_or("unknown");
        let manager = match self.text("fieldManager") {
            "" => agent(),
            stated => stated,
        };
        Ok(WriteOptions {
            dry_run: self.dry_run()?,
            manager: manager.to_owned(),
            validation,
            force: self.flag("force"),
            owner: false,
            warnings: Vec::new(),
            uid: String::new(),
        })
    }

    pub(super) fn dry_run(&self) -> Result<bool, Failure> {
        match self.text("dryRun") {
            "" => Ok(false),
            "All" => Ok(true),
            other => Err(Failure::bad_request(format!(
                "dryRun: Unsupported value: {other:?}: supported values: \"All\""
            ))),
        }
    }
}

fn invalid_match(why: &str) -> Failure {
    Failure::unprocessable(format!("ListOptions.meta.k8s.io \"\" is invalid: {why}"))
}

/// Undoes percent encoding; malformed sequences stay as they are.
pub(crate) fn decode(text: &str, plus: bool) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'+' if plus => out.push(b' '),
            b'%' => {
                let mut ahead = bytes.clone();
                let digit = |byte: Option<u8>| byte.and_then(|byte| char::from(byte).to_digit(16));
                let decoded = digit(ahead.next()).zip(digit(ahead.next()));
                match decoded.and_then(|(high, low)| u8::try_from(high * 16 + low).ok()) {
                    Some(decoded) => {
                        out.push(decoded);
                        bytes = ahead;
                    }
                    None => out.push(b'%'),
                }
            }
            other => out.push(other),
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}
