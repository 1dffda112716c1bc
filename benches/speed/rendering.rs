//! Rendering all templates and writing the tree, against copying that tree: of the answers that make the most files.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use factoryup::factory::parse;
use factoryup::templating::render::render;
use factoryup::templating::tree::{Mode, Tree};

use crate::measure::{in_turn, ratio, run, show, target};

/// A factory with every file that there is, for as many environments as there can be.
const FACTORY: &str = r#"
schema = 1

[factory]
name = "acme"
owner_name = "Ada Lovelace"
owner_email = "ada@example.org"

[host]
kind = "ssh"
address = "203.0.113.7"
authorized_keys = ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJnsBe7SWfOLDDpmmIM9BNxYUTtCIpsZMPUiINWD8SX8 ada@laptop"]

[gitlab]
group = "acme"
tier = "premium"

[agent]
kind = "both"

[cloudflare]
enabled = true
account_id = "0123456789abcdef0123456789abcdef"
zone_id = "fedcba9876543210fedcba9876543210"
zone = "example.org"

[secrets]
owner_recipient = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p"

[environments]
names = ["dev", "test", "staging", "canary", "production"]
"#;

pub fn measure() -> bool {
    let folder = tempfile::tempdir().unwrap();
    let factory = parse(FACTORY, "factory.toml").unwrap();
    let tree = render(&factory).unwrap();
    let model = folder.path().join("model");
    write(&tree, &model);
    // Each turn writes to a folder of its own, so that no turn pays for clearing away.
    let mut rendered = (0..).map(|turn| folder.path().join(format!("rendered-{turn}")));
    let mut copied = (0..).map(|turn| folder.path().join(format!("copied-{turn}")));
    let (ours, cp) = in_turn(
        15,
        || write(&render(&factory).unwrap(), &rendered.next().unwrap()),
        || run(Command::new("cp").arg("-r").args([&model, &copied.next().unwrap()])),
    );
    show(&format!("render and write {} files", tree.files.len()), &ours, "cp -r of the same", &cp);
    target("rendering within 3 times cp -r", ratio(&ours, &cp) <= 3.0)
}

/// Writes a tree as it lies in memory, without git and without records.
fn write(tree: &Tree, to: &Path) {
    for file in &tree.files {
        let path = to.join(&file.path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        if file.mode == Mode::Link {
            symlink(std::str::from_utf8(&file.bytes).unwrap(), path).unwrap();
        } else {
            fs::write(&path, &file.bytes).unwrap();
            if file.mode == Mode::Executable {
                fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
            }
        }
    }
}
