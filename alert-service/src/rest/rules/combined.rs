//! Rules that combine others: what is wrong with that, and what stands in the way of a change of what is combined.

use std::collections::{BTreeMap, BTreeSet};

use service::rest::{Problem, ProblemKind};
use sqlx::PgConnection;

use crate::{rule::Condition, store};

/// What is wrong with the rules that a rule of a tenant combines. `id`: that of the rule, if it has one already.
pub(super) async fn problems(
    connection: &mut PgConnection,
    tenant: &str,
    id: Option<&str>,
    condition: &Condition,
) -> Result<Vec<(String, String)>, sqlx::Error> {
    let used = condition.rules_used();
    if used.is_empty() {
        return Ok(Vec::new());
    }
    // The database takes no NUL.
    let possible: Vec<_> = used
        .iter()
        .filter(|id| !id.contains('\0'))
        .cloned()
        .collect();
    let found = store::rules_to_use(connection, tenant, &possible).await?;
    let mut problems = Vec::new();
    for (index, wanted) in used.iter().enumerate() {
        let shown = atlas_events::clip(wanted, 100);
        let problem = match found.iter().find(|rule| rule.id == *wanted) {
            None => format!("there is no rule {shown}"),
            Some(rule) if !rule.condition.0.has_duration() => {
                format!("the alerts of rule {shown} have no duration, so that it never holds")
            }
            Some(_) => continue,
        };
        problems.push((format!("condition.rules[{index}]"), problem));
    }
    if let Some(id) = id
        && let Some(path) = cycle(connection, id, used).await?
    {
        let problem = format!("would be a cycle: {}", path.join(" combines "));
        problems.push(("condition.rules".to_owned(), problem));
    }
    Ok(problems)
}

/// The way from a rule to itself, if it combines these.
async fn cycle(
    connection: &mut PgConnection,
    id: &str,
    used: &[String],
) -> Result<Option<Vec<String>>, sqlx::Error> {
    let mut user_of: BTreeMap<String, String> = BTreeMap::new();
    let mut next: BTreeSet<String> = BTreeSet::new();
    let mut uses: Vec<_> = used
        .iter()
        .map(|used| (id.to_owned(), used.clone()))
        .collect();
    while !uses.is_empty() {
        for (user, used) in uses {
            if !user_of.contains_key(&used) {
                user_of.insert(used.clone(), user);
                next.insert(used);
            }
        }
        if user_of.contains_key(id) {
            let mut path = vec![id.to_owned()];
            while let Some(user) = path.last().and_then(|last| user_of.get(last)) {
                path.push(user.clone());
                if user == id {
                    break;
                }
            }
            path.reverse();
            return Ok(Some(path));
        }
        let looked_at: Vec<_> = std::mem::take(&mut next).into_iter().collect();
        uses = store::uses_of(connection, &looked_at).await?;
    }
    Ok(None)
}

/// Refuses what cannot be done with a rule that others combine.
pub(super) async fn refuse_if_used(
    connection: &mut PgConnection,
    id: &str,
    why: &str,
) -> Result<(), Problem> {
    let users = store::users_of(connection, id).await?;
    if users.is_empty() {
        return Ok(());
    }
    let detail = format!("{why}: it is combined by rules {}", users.join(", "));
    Err(Problem::new(ProblemKind::Conflict, detail).with("rules", users))
}
