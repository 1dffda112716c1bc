//! Copies that outlive GitLab: kept encrypted, and drilled from the file that was kept.

use std::fs;

use crate::control_repo::{passed, text};
use crate::evidence::World;
use crate::support;

#[test]
fn a_kept_copy_is_encrypted_and_drilled_without_gitlab() {
    let Some(world) = World::new() else { return };
    if !support::available(&["age"]) {
        return;
    }
    world.history();
    world.repo.git(&["push", "-q", "origin", "HEAD:main", "v1.0.0"]);
    for name in ["owner", "other"] {
        fs::write(world.key(name), factoryup::age::KeyPair::generate().unwrap().file().as_bytes()).unwrap();
    }
    let owner = fs::read_to_string(world.key("owner")).unwrap();
    let recipient = owner.lines().find_map(|line| line.strip_prefix("# public key: ")).unwrap();
    for folder in ["place", "tmp"] {
        fs::create_dir(world.key(folder)).unwrap();
    }
    let World { plane, project, repo, token } = world;
    let run = |arguments: &[&str]| {
        let mut command = repo.command(repo.path().join(arguments[0]).to_str().unwrap());
        command.args(&arguments[1..]).env("GITLAB_TOKEN", &token).env("TMPDIR", repo.path().join("../tmp"));
        command.output().unwrap()
    };
    let backup = |arguments: &[&str]| run(&[&["scripts/backup"], arguments].concat());
    let files = |folder: &str| {
        let folder = fs::read_dir(repo.path().join("..").join(folder)).unwrap();
        let mut all: Vec<_> = folder.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        all.sort();
        all
    };
    // Nobody is named who could read it.
    let output = backup(&["keep", "../place"]);
    assert_eq!(output.status.code(), Some(78), "{}", text(&output));
    let old = ["backup-20200101T000000Z.tar.age", "backup-20200102T000000Z.tar.age", "mine.tar.age"];
    for name in old {
        fs::write(repo.path().join("../place").join(name), "").unwrap();
    }
    let rule = |name: &str, key: &str| format!("  - path_regex: ^secrets/{name}/\n    age: {key}\n");
    let none = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p";
    repo.write(".sops.yaml", &format!("creation_rules:\n{}{}", rule("agent", none), rule("owner", recipient)));
    assert_eq!(backup(&["keep", "../place", "0"]).status.code(), Some(64));
    passed(&backup(&["keep", "../place", "2"]));
    let kept = files("place");
    assert_eq!((kept.len(), &kept[0][..], &kept[2][..]), (3, old[1], old[2]), "{kept:?}");
    let file = format!("../place/{}", kept[1]);
    let bytes = fs::read(repo.path().join(&file)).unwrap();
    assert!(bytes.starts_with(b"age-encryption.org/v1\n") && !bytes.windows(9).any(|part| part == b"SHA256SUM"));

    // A copy of a log that was cut.
    let state = format!("/projects/{project}/terraform/state/evidence");
    let mut log = plane.get(&state).body;
    let whole = log["log"].as_array().unwrap().len();
    repo.write("copy.json", &log.to_string());
    passed(&run(&["scripts/evidence", "compare", "copy.json"]));
    log["log"].as_array_mut().unwrap().pop();
    log["serial"] = 100.into();
    assert_eq!(plane.post(&state, &log).status, 200);
    let compared = run(&["scripts/evidence", "compare", "copy.json"]);
    assert_eq!(compared.status.code(), Some(1), "{}", text(&compared));
    assert!(
        text(&compared).contains("statement 4 of copy.json is missing or another one in GitLab"),
        "{}",
        text(&compared)
    );
    // Whose copy it is does not show, so nothing in it is run.
    for script in ["scripts/check", "scripts/evidence"] {
        repo.write(script, "#!/bin/sh\ntouch \"$TMPDIR/ran\"\n");
    }
    repo.git(&["commit", "-qam", "Run what the copy has"]);
    repo.git(&["push", "-q", "origin", "HEAD:main"]);
    fs::create_dir(repo.path().join("../cut")).unwrap();
    passed(&backup(&["keep", "../cut"]));
    repo.git(&["reset", "-q", "--soft", "HEAD~1"]);
    repo.git(&["checkout", "-q", "HEAD", "--", "scripts"]);
    drop(plane);

    assert_eq!(backup(&["keep", "../place"]).status.code(), Some(69), "GitLab is away");
    assert_eq!(files("place"), kept);
    let said = passed(&backup(&["drill", &file, "../owner"]));
    assert!(said.contains(&format!("{whole} statements, 3 commits: all recorded, signed and in order")), "{said}");
    assert!(
        said.contains(&format!("restored at {} from a copy of ", repo.git(&["rev-parse", "HEAD"]).trim())),
        "{said}"
    );
    let cut = format!("../cut/{}", files("cut")[0]);
    let output = backup(&["drill", &cut, "../owner"]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    assert!(text(&output).contains("tag v1.0.0 has no record of its release"), "{}", text(&output));
    assert_eq!(backup(&["drill", &file, "../other"]).status.code(), Some(65));
    fs::write(repo.path().join(&file), &bytes[..bytes.len() / 2]).unwrap();
    assert_eq!(backup(&["drill", &file, "../owner"]).status.code(), Some(65));
    // Nothing that was decrypted stays.
    assert_eq!(files("tmp"), [""; 0]);
}
