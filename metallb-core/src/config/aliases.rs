//! Community aliases: reading, and looking one up.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::check::Check;
use super::community::Community;
use super::error::Problem;
use super::input::CommunityInput;
use super::model::CommunityAliases;

/// The aliases; the check says whether they are valid.
pub(super) fn read(input: &CommunityInput, check: &mut Check) -> CommunityAliases {
    let mut aliases = BTreeMap::new();
    for (index, (alias, value)) in input.aliases.iter().enumerate() {
        let name_field = || format!("spec.communities[{index}].name");
        match Community::parse_value(value) {
            Err(problem) => check.error(format!("spec.communities[{index}].value"), problem),
            Ok(_) if alias.is_empty() => {
                check.error(name_field(), Problem::Missing { remedy: "give the alias a name" });
            }
            Ok(community) => {
                if aliases.insert(Box::from(alias.as_str()), community).is_some() {
                    check.error(name_field(), Problem::Duplicate { text: alias.as_str().into() });
                }
            }
        }
    }
    CommunityAliases { name: input.meta.name.as_str().into(), created: input.meta.created, aliases }
}

/// An alias may be defined once in all objects.
pub(super) fn conflicts(older: &[Arc<CommunityAliases>], object: &CommunityAliases, check: &mut Check) {
    for alias in object.aliases.keys() {
        if let Some(other) = older.iter().find(|other| other.aliases.contains_key(alias)) {
            let problem = Problem::DuplicateAlias { alias: alias.clone(), other: other.name.clone() };
            check.error("spec.communities", problem);
        }
    }
}

/// All aliases in force.
#[derive(Debug)]
pub(super) struct Aliases<'a>(BTreeMap<&'a str, Community>);

impl<'a> Aliases<'a> {
    pub(super) fn new(objects: impl Iterator<Item = &'a Arc<CommunityAliases>>) -> Self {
        let pairs = objects.flat_map(|object| object.aliases.iter().map(|(alias, value)| (&**alias, *value)));
        Self(pairs.collect())
    }

    /// A value is a value; a name is looked up among the aliases first, then among the well-known names.
    pub(super) fn resolve(&self, text: &str) -> Option<Community> {
        if text.contains(':') {
            return Community::parse(text).or_else(|| self.0.get(text).copied());
        }
        self.0.get(text).copied().or_else(|| Community::parse(text))
    }
}
