//! git against the stand-in: the real client, the real `git http-backend`, the real hooks.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, clippy::disallowed_methods)]

#[path = "support/plane.rs"]
mod plane;
mod support;

use plane::{Plane, git};
use serde_json::json;

#[test]
fn a_developer_may_push_until_the_branch_is_protected_against_it() {
    let Some(plane) = Plane::start() else { return };
    let project = plane.project("control");
    let work = plane.clone("control", &plane.owner_token());
    work.commit("README.md", "hello\n");
    assert!(work.push(&["origin", "HEAD:main"]).ok());

    let agent = plane.member(project, "agent", 30);
    let theirs = plane.clone("control", &agent);
    assert_eq!(theirs.read("README.md"), "hello\n");
    theirs.commit("README.md", "changed\n");
    assert!(theirs.push(&["origin", "HEAD:main"]).refused("not allowed to push code to protected branches"));
    assert!(theirs.push(&["origin", "HEAD:agent/change"]).ok());

    assert_eq!(plane.delete(&format!("/projects/{project}/protected_branches/main")).status, 204);
    assert!(theirs.push(&["origin", "HEAD:main"]).ok());

    let rule = json!({"name": "main", "push_access_level": 0, "merge_access_level": 40});
    assert_eq!(plane.post(&format!("/projects/{project}/protected_branches"), &rule).status, 201);
    theirs.commit("README.md", "again\n");
    assert!(theirs.push(&["origin", "HEAD:main"]).refused("not allowed to push code to protected branches"));
    work.git(&["pull", "--quiet", "origin", "main"]);
    work.commit("README.md", "mine\n");
    assert!(work.push(&["origin", "HEAD:main"]).refused("not allowed to push code to protected branches"));
}

/// No rule is asked while there is no branch.
#[test]
fn the_first_branch_is_made_by_who_administers_the_project() {
    let Some(plane) = Plane::start() else { return };
    let project = plane.project("control");
    let rule = json!({"name": "main", "push_access_level": 0, "merge_access_level": 40});
    assert_eq!(plane.post(&format!("/projects/{project}/protected_branches"), &rule).status, 201);
    let theirs = plane.clone("control", &plane.member(project, "agent", 30));
    theirs.commit("README.md", "theirs\n");
    assert!(theirs.push(&["origin", "HEAD:agent/first"]).refused("not allowed to push code to protected branches"));
    let work = plane.clone("control", &plane.owner_token());
    work.commit("README.md", "hello\n");
    assert!(work.push(&["origin", "HEAD:main"]).ok());
    work.commit("README.md", "again\n");
    assert!(work.push(&["origin", "HEAD:main"]).refused("not allowed to push code to protected branches"));
    assert_eq!(plane.get(&format!("/projects/{project}/protected_branches")).body.as_array().unwrap().len(), 1);
}

#[test]
fn history_is_rewritten_only_where_a_rule_lets_it() {
    let Some(plane) = Plane::start() else { return };
    let project = plane.project("control");
    let work = plane.clone("control", &plane.owner_token());
    work.commit("a", "1\n");
    assert!(work.push(&["origin", "HEAD:main"]).ok());
    work.git(&["commit", "--quiet", "--amend", "--message", "Again"]);
    let force = ["--force", "origin", "HEAD:main"];
    assert!(work.push(&force).refused("not allowed to force push code to a protected branch"));
    assert!(work.push(&["origin", ":main"]).refused("The default branch of a project cannot be deleted"));
    let rules = format!("/projects/{project}/protected_branches");
    plane.delete(&format!("{rules}/main"));
    plane.post(&rules, &json!({"name": "ma*", "push_access_level": 40, "allow_force_push": true}));
    assert!(work.push(&force).ok());
    assert!(work.push(&["origin", "HEAD:other"]).ok());
    assert!(work.push(&["origin", ":other"]).ok());
}

#[test]
fn protected_tags_are_made_by_who_may_and_never_moved() {
    let Some(plane) = Plane::start() else { return };
    let project = plane.project("control");
    let work = plane.clone("control", &plane.owner_token());
    work.commit("a", "1\n");
    assert!(work.push(&["origin", "HEAD:main"]).ok());
    plane.post(&format!("/projects/{project}/protected_tags"), &json!({"name": "v*", "create_access_level": 40}));
    let agent = plane.member(project, "agent", 30);
    let theirs = plane.clone("control", &agent);
    theirs.git(&["tag", "v1.0"]);
    assert!(theirs.push(&["origin", "v1.0"]).refused("not allowed to create this tag as it is protected"));
    theirs.git(&["tag", "nightly"]);
    assert!(theirs.push(&["origin", "nightly"]).ok());
    work.git(&["tag", "v1.0"]);
    assert!(work.push(&["origin", "v1.0"]).ok());
    work.commit("a", "2\n");
    work.git(&["tag", "--force", "v1.0"]);
    assert!(work.push(&["--force", "origin", "v1.0"]).refused("Protected tags cannot be updated"));
    assert!(theirs.push(&["origin", ":v1.0"]).refused("not allowed to delete protected tags"));
    // The API keeps to the same rule, and makes an annotated tag of a message.
    let tags = format!("/projects/{project}/repository/tags");
    let tag = json!({"tag_name": "v2.0", "ref": "main", "message": "Two\n\n{\"a\": 1}"});
    let api = plane.as_token(&agent);
    assert_eq!(api.post(&tags, &tag).status, 400);
    assert_eq!(plane.post(&tags, &tag).status, 201);
    assert_eq!(plane.post(&tags, &tag).status, 400);
    let listed = api.get(&format!("{tags}?search=^v2"));
    assert_eq!(listed.body.as_array().unwrap().len(), 1, "{}", listed.body);
    assert_eq!((&listed.body[0]["message"], &listed.body[0]["protected"]), (&tag["message"], &true.into()));
    assert!(listed.body[0]["created_at"].as_str().unwrap().contains('T'), "{}", listed.body);
    assert_eq!(api.send("DELETE", &format!("{tags}/v2.0"), None).status, 403);
    assert_eq!(plane.delete(&format!("{tags}/v2.0")).status, 204);
}

#[test]
fn a_token_reaches_as_far_as_its_scopes_and_its_owner() {
    let Some(plane) = Plane::start() else { return };
    let project = plane.project("control");
    let work = plane.clone("control", &plane.owner_token());
    work.commit("a", "1\n");
    assert!(work.push(&["origin", "HEAD:main"]).ok());
    let here = work.path.as_path();
    let list = |token: &str| git(here, &["ls-remote", &plane.remote("control", token)]);
    let push = |token: &str| git(here, &["push", "--quiet", &plane.remote("control", token), "HEAD:topic"]);

    plane.member(project, "agent", 30);
    let reading = plane.token("agent", &["read_repository"]);
    assert!(list(&reading).ok());
    assert!(push(&reading).refused("403"));
    let writing = plane.token("agent", &["write_repository"]);
    assert!(push(&writing).ok());
    assert_eq!(plane.as_token(&writing).get(&format!("/projects/{project}")).status, 403);
    assert!(list(&plane.token("agent", &["read_api"])).refused("403"));
    plane.member(project, "reporter", 20);
    let reporter = plane.token("reporter", &["api"]);
    assert!(list(&reporter).ok());
    assert!(push(&reporter).refused("403"));
    plane.stand_in.add_user("stranger").unwrap();
    assert!(list(&plane.token("stranger", &["api"])).refused("not found"));
    assert!(list("glpat-none").refused("Authentication failed"));
    let bare = plane.url() + "/factory/control.git";
    assert!(git(here, &["ls-remote", &bare]).refused("could not read Username"));
    // Without its `.git` the address is answered with a redirection, as GitLab does.
    assert!(git(here, &["ls-remote", plane.remote("control", &reporter).trim_end_matches(".git")]).ok());
    let log = plane.log();
    assert!(log.iter().any(|request| request.route == Some("git") && request.user.as_deref() == Some("reporter")));
}

#[test]
fn large_pushes_and_long_negotiations_come_through() {
    let Some(plane) = Plane::start() else { return };
    plane.project("control");
    let work = plane.clone("control", &plane.owner_token());
    // Incompressible and above http.postBuffer (1 MiB), so that git sends it in chunks.
    let mut bytes = vec![0_u8; 3 << 20];
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for byte in &mut bytes {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        *byte = state.to_be_bytes()[0];
    }
    std::fs::write(work.path.join("large"), &bytes).unwrap();
    work.commit("small", "1\n");
    assert!(work.push(&["origin", "HEAD:main"]).ok());
    let other = plane.clone("control", &plane.owner_token());
    assert_eq!(std::fs::read(other.path.join("large")).unwrap(), bytes);
    // Many commits that the server does not have make the negotiation long; git compresses requests above 1 KiB.
    for number in 0..64 {
        other.git(&["commit", "--quiet", "--allow-empty", "--message", &number.to_string()]);
    }
    work.commit("small", "2\n");
    assert!(work.push(&["origin", "HEAD:main"]).ok());
    other.git(&["fetch", "--quiet", "origin"]);
    assert_eq!(other.git(&["rev-parse", "origin/main"]), work.git(&["rev-parse", "HEAD"]));
}

#[test]
fn push_options_open_a_merge_request() {
    let Some(plane) = Plane::start() else { return };
    let project = plane.project("control");
    let work = plane.clone("control", &plane.owner_token());
    work.commit("a", "1\n");
    assert!(work.push(&["origin", "HEAD:main"]).ok());
    plane.member(project, "agent", 30);
    let theirs = plane.clone("control", &plane.token("agent", &["write_repository"]));
    theirs.commit("a", "2\n");
    let options = [
        "-o",
        "merge_request.create",
        "-o",
        "merge_request.target=main",
        "-o",
        "merge_request.title=Two, not one",
        "origin",
        "HEAD:agent/two",
    ];
    assert!(theirs.push(&options).ok());
    let requests = plane.get(&format!("/projects/{project}/merge_requests?state=opened")).body;
    let fields = ["title", "source_branch", "target_branch"].map(|name| requests[0][name].as_str().unwrap());
    assert_eq!(fields, ["Two, not one", "agent/two", "main"]);
    assert_eq!(requests[0]["author"]["username"], "agent");
    assert_eq!(requests[0]["sha"], theirs.git(&["rev-parse", "HEAD"]));
    assert_eq!(requests[0]["labels"], serde_json::json!([]));
    theirs.commit("a", "3\n");
    let labels = |labels: &[&str]| {
        let all: Vec<_> = labels.iter().flat_map(|label| ["-o", label]).chain(options).collect();
        assert!(theirs.push(&all).ok());
        let requests = plane.get(&format!("/projects/{project}/merge_requests")).body;
        assert_eq!(requests.as_array().unwrap().len(), 1);
        requests[0]["labels"].clone()
    };
    assert_eq!(labels(&["merge_request.label=human", "merge_request.label=a b"]), serde_json::json!(["human", "a b"]));
    theirs.commit("a", "4\n");
    let left = labels(&["merge_request.label=a b", "merge_request.label=late", "merge_request.unlabel=human"]);
    assert_eq!(left, serde_json::json!(["a b", "late"]));
}

#[test]
fn no_token_reaches_gits_children() {
    let Some(plane) = Plane::start() else { return };
    plane.project("control");
    let work = plane.clone("control", &plane.owner_token());
    let directory = plane.stand_in.repository("factory/control").unwrap();
    let spy = directory.parent().unwrap().parent().unwrap().join("hooks/update");
    let seen = work.path.join("../seen");
    let script = format!(
        "#!/bin/sh\nenv >>'{0}'\ncat /proc/*/cmdline | tr '\\0' ' ' | grep -a receive-pack >>'{0}'\n",
        seen.display()
    );
    std::fs::write(&spy, script).unwrap();
    std::fs::set_permissions(&spy, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let token = plane.owner_token();
    work.commit("a", "1\n");
    work.git(&["remote", "set-url", "origin", &(plane.url() + "/factory/control.git")]);
    // Told through a helper, as git's own command line would otherwise show it.
    std::fs::write(work.path.join("../ask"), format!("username=oauth2\npassword={token}\n")).unwrap();
    work.git(&["config", "credential.helper", "!cat ../ask #"]);
    assert!(work.push(&["origin", "HEAD:main"]).ok());
    let seen = std::fs::read_to_string(seen).unwrap();
    assert!(seen.contains("REMOTE_USER=owner") && seen.contains("receive-pack"), "{seen}");
    assert!(!seen.contains(&token) && !seen.contains("AUTHORIZATION"), "{seen}");
}

#[test]
fn the_hooks_are_clean_shell() {
    if !support::need("shellcheck") {
        return;
    }
    let Some(plane) = Plane::start() else { return };
    plane.project("control");
    let repository = plane.stand_in.repository("factory/control").unwrap();
    let hooks = repository.parent().unwrap().parent().unwrap().join("hooks");
    let mut command = std::process::Command::new(support::tool("shellcheck").unwrap());
    let output = command.args(["pre-receive", "post-receive"]).current_dir(hooks).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}
