//! The programs themselves: clean, the same in every shell, and harmless when they are cut.

use std::io::Write;
use std::process::{Command, Stdio};

use factoryup::dialog::Silent;
use factoryup::factory::{Factory, Host, RunnerKind, Sudo};
use factoryup::host::{HostTarget, Script};
use factoryup::plan::Target;
use factoryup::secret::Secret;

use crate::journey::Journey;
use crate::support::{self, lab};

/// Factories that lead to different programs.
fn factories() -> Vec<Factory> {
    let text = "schema = 1\n[factory]\nname = \"acme\"\nowner_name = \"Ada\"\nowner_email = \"ada@example.org\"\n\
                [gitlab]\ngroup = \"acme\"\n";
    let plain: Factory = toml::from_str(text).unwrap();
    let mut other = plain.clone();
    other.host.operator = "ada-l".into();
    other.host.sudo = Sudo::Password;
    other.runner.kind = RunnerKind::Shared;
    other.gitlab.url = "https://10.1.2.3:8443".into();
    let key = "AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl";
    let keys = [format!("ssh-ed25519 {key} it's $HOME `id`"), format!("ssh-ed25519 {key}")];
    other.host.authorized_keys = keys.to_vec();
    vec![plain, other]
}

/// All programs for a host that is fresh, and stays so.
fn programs(journey: &Journey, factory: &Factory) -> Vec<Script> {
    let factory = Factory {
        host: Host { address: journey.factory.host.address.clone(), ..factory.host.clone() },
        ..factory.clone()
    };
    let password = Secret::new("canary of the operator");
    let mut target = HostTarget::new(&factory, journey.reach(), Some(password)).unwrap();
    let plan = target.observe(&Silent).unwrap();
    let scripts = target.scripts(Some(&plan));
    assert!(scripts.iter().map(|script| script.name).eq(["login", "probe", "apply", "guard", "confirm", "proof"]));
    scripts
}

fn shellcheck(script: &Script) {
    let mut child = Command::new("shellcheck")
        .args(["--shell=sh", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(script.text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}\n{}", script.name, String::from_utf8_lossy(&output.stdout));
}

#[test]
fn they_are_clean_say_no_secret_and_do_nothing_when_cut() {
    if !lab::can_host() || !support::available(&["shellcheck", "busybox"]) {
        return;
    }
    let journey = Journey::new();
    for factory in factories() {
        for script in programs(&journey, &factory) {
            shellcheck(&script);
            assert!(!script.text.contains("canary of the operator"), "{}", script.name);
            let path = journey.host.rootfs().join("root").join(script.name);
            std::fs::write(&path, &script.text).unwrap();
            for shell in [&["dash"][..], &["bash"], &["busybox", "ash"]] {
                let status = Command::new(shell[0]).args(&shell[1..]).arg("-n").arg(&path).status().unwrap();
                assert!(status.success(), "{} in {shell:?}", script.name);
            }
        }
        // The same answers, whichever shell `sh` is.
        let said = journey.inside("sh -s <~/probe");
        assert_eq!(said, journey.inside("bash -s <~/probe"));
        assert!(said.contains(r#"{"section":"end","line":""}"#), "{said}");

        // Cut at many places, and at each of the last hundred bytes: nothing is said, nothing is done.
        let cut = "for program in probe apply guard confirm proof; do \
                       size=$(wc -c <~/$program); cut=0; \
                       while [ $cut -lt $((size - 1)) ]; do \
                           head -c $cut ~/$program | sh -s 2>/dev/null; \
                           if [ $cut -lt $((size - 100)) ]; then cut=$((cut + 97)); else cut=$((cut + 1)); fi; \
                       done; \
                   done; ls /var/lib | grep factoryup; true";
        assert_eq!(journey.inside(cut), "");
    }
    assert_eq!(journey.inside("getent passwd operator agent ada-l || true"), "");
}
