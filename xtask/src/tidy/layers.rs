//! Rule `layers`: a crate uses only crates of lower layers.

use std::collections::HashMap;

use super::offence::{Offence, Rule};
use super::workspace::{Member, Workspace};

/// The layers, lowest first. Crates of one layer do not use one another.
pub const LAYERS: &[&[&str]] = &[
    &["ibid-types"],
    &["ibid-settings", "ibid-system", "ibid-encoder"],
    &["ibid-protocol", "ibid-telemetry"],
    &[
        "ibid-catalog",
        "ibid-files",
        "ibid-index",
        "ibid-embed",
        "ibid-plugin-host",
        "ibid-auth",
    ],
    &["ibid-generate", "ibid-plugin-author"],
    &["ibid-engine"],
    &["ibid-server"],
    &["ibid"],
];

/// Crates that belong to no layer: they use no crate of the program, and none uses them.
pub const OUTSIDE: &[&str] = &["xtask"];

/// Dependencies that the layers forbid and that stay: who, on whom, and why.
pub const EXCEPTIONS: &[(&str, &str, &str)] = &[];

/// Crates of the repository in other workspaces that a crate of this one may be built with: who, on whom, and why.
pub const FOREIGN: &[(&str, &str, &str)] = &[];

/// Checks the workspace against the tables above.
pub fn check(workspace: &Workspace) -> Vec<Offence> {
    check_against(
        workspace,
        &Table {
            layers: LAYERS,
            outside: OUTSIDE,
            exceptions: EXCEPTIONS,
            foreign: FOREIGN,
        },
    )
}

struct Table<'a> {
    layers: &'a [&'a [&'a str]],
    outside: &'a [&'a str],
    exceptions: &'a [(&'a str, &'a str, &'a str)],
    foreign: &'a [(&'a str, &'a str, &'a str)],
}

fn check_against(workspace: &Workspace, table: &Table) -> Vec<Offence> {
    let layer_of: HashMap<&str, usize> = table
        .layers
        .iter()
        .enumerate()
        .flat_map(|(layer, crates)| crates.iter().map(move |name| (*name, layer)))
        .collect();
    let is_listed =
        |list: &[(&str, &str, &str)], member: &Member, on: &str| list.iter().any(|(who, whom, _)| *who == member.name && *whom == on);
    let mut offences = Vec::new();
    for member in &workspace.members {
        let own = layer_of.get(member.name.as_str()).copied();
        let outside = table.outside.contains(&member.name.as_str());
        if own.is_none() && !outside {
            let what = format!("the crate `{}` is in no layer", member.name);
            offences.push(Offence::new(
                Rule::Layers,
                &member.manifest,
                1,
                what,
                "add it to LAYERS in xtask/src/tidy/layers.rs",
            ));
            continue;
        }
        for dependency in member
            .dependencies
            .iter()
            .filter(|dependency| dependency.is_local && !dependency.is_dev)
        {
            let on = dependency.name.as_str();
            let line = member.line_of(on);
            let allowed = match (own, layer_of.get(on)) {
                _ if is_listed(table.exceptions, member, on) => true,
                (Some(own), Some(other)) => *other < own,
                (_, None) if !table.outside.contains(&on) => is_listed(table.foreign, member, on),
                _ => false,
            };
            if !allowed {
                let what = format!("`{}` depends on `{on}`, which is not in a lower layer", member.name);
                let remedy = "turn the dependency round, or move what both need down (the table is xtask/src/tidy/layers.rs)";
                offences.push(Offence::new(Rule::Layers, &member.manifest, line, what, remedy));
            }
        }
    }
    offences
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: Table = Table {
        layers: &[&["low"], &["left", "right"], &["top"]],
        outside: &["tasks"],
        exceptions: &[("left", "right", "it says why")],
        foreign: &[("top", "sdk", "it says why")],
    };

    /// Checks a workspace of one crate with these dependencies: a name, and `dev` or `build` where it is one.
    fn of(name: &str, dependencies: &[(&str, Option<&str>)]) -> Vec<String> {
        let dependencies: Vec<_> = dependencies
            .iter()
            .map(|(name, kind)| serde_json::json!({"name": name, "kind": kind, "path": format!("/r/{name}")}))
            .chain([serde_json::json!({"name": "serde", "kind": null})])
            .collect();
        let metadata = serde_json::json!({
            "workspace_root": "/r",
            "packages": [{"name": name, "manifest_path": format!("/r/{name}/Cargo.toml"), "dependencies": dependencies}],
        });
        let workspace = Workspace::from_metadata(&metadata.to_string()).unwrap();
        check_against(&workspace, &TABLE).into_iter().map(|offence| offence.what).collect()
    }

    #[test]
    fn lower_layers_are_allowed() {
        assert!(of("top", &[("low", None), ("left", Some("build"))]).is_empty());
    }

    #[test]
    fn upward_and_sideways_are_not() {
        assert_eq!(
            of("low", &[("top", None)]),
            ["`low` depends on `top`, which is not in a lower layer"]
        );
        assert_eq!(
            of("right", &[("left", None)]),
            ["`right` depends on `left`, which is not in a lower layer"]
        );
        assert_eq!(of("low", &[("left", Some("build"))]).len(), 1);
    }

    #[test]
    fn exceptions_are_one_way() {
        assert!(of("left", &[("right", None)]).is_empty());
    }

    #[test]
    fn development_dependencies_may_point_anywhere() {
        assert!(of("low", &[("top", Some("dev")), ("elsewhere", Some("dev"))]).is_empty());
        assert_eq!(of("low", &[("top", Some("dev")), ("top", None)]).len(), 1);
    }

    #[test]
    fn every_member_is_in_the_table() {
        assert_eq!(of("new", &[]), ["the crate `new` is in no layer"]);
    }

    #[test]
    fn what_is_outside_stands_alone() {
        assert!(of("tasks", &[]).is_empty());
        assert_eq!(of("tasks", &[("low", None)]).len(), 1);
        assert_eq!(of("top", &[("tasks", None)]).len(), 1);
    }

    #[test]
    fn crates_of_other_workspaces_are_named() {
        assert!(of("top", &[("sdk", None)]).is_empty());
        assert_eq!(of("left", &[("sdk", None)]).len(), 1);
    }

    #[test]
    fn the_table_names_each_crate_once() {
        let mut names: Vec<_> = LAYERS.iter().copied().flatten().chain(OUTSIDE).collect();
        let all = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), all);
    }
}
