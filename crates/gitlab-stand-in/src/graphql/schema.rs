//! The fields that the stand-in answers, as GitLab's schema has them: the one table, whose rows name GitLab's file. All of them are in 17.11 and
//! in every later version. Source: <https://docs.gitlab.com/api/graphql/reference/>.

use super::Field;

/// What a field is.
#[derive(Clone, Copy)]
enum Is {
    Scalar,
    Object(&'static str),
    /// A connection with nodes of this type.
    Nodes(&'static str),
}

use Is::{Nodes, Object, Scalar};

struct Type {
    name: &'static str,
    /// Each with the arguments that the stand-in heeds, but those of pages.
    fields: &'static [(&'static str, Is, &'static [&'static str])],
    #[cfg_attr(not(test), expect(dead_code, reason = "for readers, and for the test that each type has one"))]
    source: &'static str,
}

#[rustfmt::skip]
const TYPES: &[Type] = &[
    Type { name: "Query", source: "app/graphql/types/query_type.rb", fields: &[
        ("project", Object("Project"), &["fullPath"]),
        ("group", Object("Group"), &["fullPath"]),
    ] },
    Type { name: "Project", source: "app/graphql/types/project_type.rb", fields: &[
        ("ciCdSettings", Object("ProjectCiCdSetting"), &[]),
        ("runners", Nodes("CiRunner"), &["type", "paused", "tagList"]),
        ("environments", Nodes("Environment"), &[]),
        ("projectMembers", Nodes("ProjectMember"), &["relations"]),
        ("ciVariables", Nodes("CiProjectVariable"), &[]),
        ("inheritedCiVariables", Nodes("InheritedCiVariable"), &[]),
        ("repository", Object("Repository"), &[]),
    ] },
    Type { name: "Group", source: "app/graphql/types/group_type.rb", fields: &[
        ("groupMembers", Nodes("GroupMember"), &["relations"]),
    ] },
    Type { name: "ProjectCiCdSetting", source: "app/graphql/types/ci/ci_cd_setting_type.rb", fields: &[
        ("inboundJobTokenScopeEnabled", Scalar, &[]),
    ] },
    Type { name: "CiRunner", source: "app/graphql/types/ci/runner_type.rb", fields: &[
        ("id", Scalar, &[]), ("description", Scalar, &[]), ("paused", Scalar, &[]), ("tagList", Scalar, &[]), ("runUntagged", Scalar, &[]),
        ("locked", Scalar, &[]), ("accessLevel", Scalar, &[]), ("contactedAt", Scalar, &[]), ("runnerType", Scalar, &[]),
    ] },
    Type { name: "Environment", source: "app/graphql/types/environment_type.rb", fields: &[
        ("id", Scalar, &[]), ("name", Scalar, &[]), ("tier", Scalar, &[]), ("state", Scalar, &[]),
    ] },
    Type { name: "ProjectMember", source: "app/graphql/types/member_interface.rb", fields: MEMBER },
    Type { name: "GroupMember", source: "app/graphql/types/member_interface.rb", fields: MEMBER },
    Type { name: "AccessLevel", source: "app/graphql/types/access_level_type.rb", fields: &[("integerValue", Scalar, &[])] },
    Type { name: "User", source: "app/graphql/types/user_interface.rb", fields: &[("id", Scalar, &[]), ("username", Scalar, &[])] },
    Type { name: "CiProjectVariable", source: "app/graphql/types/ci/project_variable_type.rb", fields: &[
        ("key", Scalar, &[]), ("protected", Scalar, &[]), ("masked", Scalar, &[]), ("environmentScope", Scalar, &[]), ("description", Scalar, &[]),
    ] },
    Type { name: "InheritedCiVariable", source: "app/graphql/types/ci/inherited_ci_variable_type.rb", fields: &[
        ("key", Scalar, &[]), ("protected", Scalar, &[]), ("masked", Scalar, &[]), ("environmentScope", Scalar, &[]),
        ("groupName", Scalar, &[]), ("groupCiCdSettingsPath", Scalar, &[]),
    ] },
    Type { name: "Repository", source: "app/graphql/types/repository_type.rb", fields: &[("tree", Object("Tree"), &["ref", "refType"])] },
    Type { name: "Tree", source: "app/graphql/types/tree/tree_type.rb", fields: &[("lastCommit", Object("Commit"), &[])] },
    Type { name: "Commit", source: "app/graphql/types/repositories/commit_type.rb", fields: &[("sha", Scalar, &[])] },
    Type { name: "PageInfo", source: "app/graphql/types/page_info_type.rb", fields: &[("hasNextPage", Scalar, &[]), ("endCursor", Scalar, &[])] },
];

const MEMBER: &[(&str, Is, &[&str])] =
    &[("accessLevel", Object("AccessLevel"), &[]), ("expiresAt", Scalar, &[]), ("user", Object("User"), &[])];
/// The arguments of every connection.
const PAGES: [&str; 2] = ["first", "after"];

/// What GitLab says of a query that does not fit its schema; nothing if it fits.
pub(crate) fn problem(query: &[Field]) -> Option<String> {
    problem_of("Query", query)
}

fn problem_of(name: &str, fields: &[Field]) -> Option<String> {
    let of = TYPES.iter().find(|of| of.name == name)?;
    fields.iter().find_map(|field| {
        let Some((_, is, known)) = of.fields.iter().find(|(known, ..)| *known == field.name) else {
            return Some(format!("Field '{}' doesn't exist on type '{name}'", field.name));
        };
        let is_known = |name: &str| known.contains(&name) || (matches!(is, Nodes(_)) && PAGES.contains(&name));
        if let Some(argument) = field.arguments.keys().find(|argument| !is_known(argument)) {
            return Some(format!("Field '{}' doesn't accept argument '{argument}'", field.name));
        }
        match is {
            Scalar if field.fields.is_empty() => None,
            Scalar => Some(format!("Selections can't be made on scalars (field '{}')", field.name)),
            _ if field.fields.is_empty() => Some(format!("Field must have selections (field '{}')", field.name)),
            Object(of) => problem_of(of, &field.fields),
            Nodes(of) => field.fields.iter().find_map(|part| match part.name.as_str() {
                "nodes" => problem_of(of, &part.fields),
                "pageInfo" => problem_of("PageInfo", &part.fields),
                "count" if *of == "CiRunner" => None,
                other => Some(format!("Field '{other}' doesn't exist on type '{of}Connection'")),
            }),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::super::parse;
    use super::{TYPES, problem};
    use serde_json::{Map, json};

    #[test]
    fn each_type_names_its_file() {
        for of in TYPES {
            assert!(of.source.starts_with("app/graphql/types/") && of.source.contains(".rb"), "{}", of.name);
        }
    }

    #[test]
    fn what_gitlab_does_not_have_is_said_in_its_words() {
        let variables = json!({ "path": "a/b" }).as_object().cloned().unwrap_or_else(Map::new);
        let said = |query: &str| match parse(query, &variables) {
            Ok(fields) => problem(&fields).unwrap_or_default(),
            Err(said) => said,
        };
        for (query, words) in [
            (
                "query($path: ID!) { project(fullPath: $path) { runners(first: 2, type: PROJECT_TYPE) { count nodes { id } } } }",
                "",
            ),
            ("{ one: project(fullPath: \"a\") { two: runners { count } } }", ""),
            ("{ project(fullPath: \"a\") { runer { id } } }", "Field 'runer' doesn't exist on type 'Project'"),
            ("{ project(path: \"a\") { runners { count } } }", "Field 'project' doesn't accept argument 'path'"),
            (
                "{ project(fullPath: \"a\") { environments { count } } }",
                "Field 'count' doesn't exist on type 'EnvironmentConnection'",
            ),
            ("{ project(fullPath: \"a\") { environments } }", "Field must have selections (field 'environments')"),
            (
                "{ project(fullPath: $path) { runners { count } } }",
                "Variable $path is used by anonymous query but not declared",
            ),
            (
                "query($other: ID!) { group(fullPath: $other) { groupMembers { nodes { expiresAt } } } }",
                "Variable $other of type ID! was provided invalid value",
            ),
            ("{ project(fullPath: \"a\") { ", "Unexpected end of document"),
            ("mutation { x }", "Expected another token, actual: \"mutation\""),
        ] {
            assert_eq!(said(query), words, "{query}");
        }
    }
}
