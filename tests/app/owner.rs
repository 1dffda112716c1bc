//! What the owner does on a machine of their own, as the runbooks have it.

use std::fs;

use serde_json::json;

use crate::control_repo::{passed, text};
use crate::world::World;

pub(crate) fn what_the_owner_looks_at(world: &World) {
    for (runbook, command) in [
        ("age-keys", "scripts/secret list"),
        ("revoke-agent", "scripts/secret list"),
        ("rotate-secrets", "scripts/check secrets"),
        ("rotate-secrets", "date -u"),
        ("rotate-secrets", "openssl rand -base64 24"),
        ("decommission", "factoryup evidence verify"),
    ] {
        passed(&world.here(&world.command(runbook, command)));
    }
    // A token works until it is revoked, by the command that asks.
    let project = world.plane.get("/projects/factory%2Fcontrol").body["id"].as_u64().unwrap();
    let token = world.plane.member(project, "old-agent", 30);
    let words = world.command("revoke-agent", "`token-header` holds one line, `PRIVATE-TOKEN:`");
    assert!(words.contains("Expected: `401`"), "{words}");
    let header = world.repo.path().join("token-header");
    fs::write(&header, format!("PRIVATE-TOKEN: {token}\n")).unwrap();
    let verify = world.block("revoke-agent", "-H @token-header");
    assert_eq!(world.done(&verify), "200\n");
    assert_eq!(world.plane.as_token(&token).send("DELETE", "/personal_access_tokens/self", None).status, 204);
    assert_eq!(world.done(&verify), "401\n");
    fs::remove_file(header).unwrap();
}

/// The last step of leave-cloudflare, which is an upgrade: merged, nothing speaks of Cloudflare any more.
pub(crate) fn the_factory_leaves_cloudflare(world: &World) {
    let upgrade = world.command("leave-cloudflare", "factoryup upgrade");
    assert_eq!(world.command("upgrade-templates", "factoryup upgrade"), upgrade);
    let switch = world.command("upgrade-templates", "git switch BRANCH");
    let dry = world.command("upgrade-templates", "factoryup upgrade --dry-run");
    let remove = world.command("leave-cloudflare", "git rm -r infra/environments");
    assert!(world.text("leave-cloudflare").contains("Set `enabled = false` under `[cloudflare]`"));
    world.repo.edit("factory.toml", "[cloudflare]\nenabled = true", "[cloudflare]\nenabled = false");
    world.repo.git(&["commit", "-qam", "Leave Cloudflare"]);
    world.repo.git(&["push", "-q", "origin", "HEAD:main"]);

    // It asks for a yes, which is typed in a terminal.
    let said = passed(&world.here(&format!("{upgrade} --yes")));
    let project = world.plane.get("/projects/factory%2Fcontrol").body["id"].as_u64().unwrap();
    let open = world.plane.get(&format!("/projects/{project}/merge_requests?state=opened")).body;
    let branch = open[0]["source_branch"].as_str().unwrap_or_else(|| panic!("{said}\n{open}")).to_owned();
    assert_eq!((open.as_array().unwrap().len(), &open[0]["draft"]), (1, &json!(false)), "{open}");
    passed(&world.here(&switch.replace("BRANCH", &branch)));
    passed(&world.here(&remove));
    world.repo.git(&["commit", "-qm", "Remove the settings of the environments"]);
    world.repo.git(&["push", "-q", "origin", "HEAD"]);
    assert_eq!(passed(&world.here("scripts/infra roots")), "control-plane\n");
    assert!(!world.repo.path().join("docs/runbooks/tunnel-down.md").exists());
    passed(
        &world
            .here("scripts/check shell docs runbooks skills formats secrets recipients evidence settled data pipeline"),
    );
    // Merged, there is nothing left to upgrade.
    world.repo.git(&["switch", "-q", "main"]);
    world.repo.git(&["merge", "-q", "--ff-only", &branch]);
    world.repo.git(&["push", "-q", "origin", "HEAD:main"]);
    let nothing = world.here(&dry);
    assert!(nothing.status.success(), "{}", text(&nothing));
}
