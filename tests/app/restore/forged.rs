//! Archives that no host made.

use std::fs;

use super::Owner;
use crate::control_repo::passed;
use crate::deploy::code;
use crate::journey::Journey;

/// What is cut, or made by another than the host, brings nothing that is not the application's own data.
pub fn nothing_else_is_restored(host: &Journey, owner: &Owner, file: &str) {
    passed(&owner.here(host, &format!("age -d -i owner.agekey -o whole.tar {file}")));
    let whole = fs::read(owner.dir.join("whole.tar")).unwrap();
    let restore = |bytes: &[u8]| {
        fs::write(host.host.rootfs().join("root/given.tar"), bytes).unwrap();
        let output = host.host.run_inside(&["sh", "-c", "factory-backup restore shop </root/given.tar"]).unwrap();
        code(&output, 65);
        assert_eq!(host.inside("ls -A /srv/apps | grep -v '^[.]lock' || true"), "");
    };
    for cut in [0, 512, whole.len() / 2 / 512 * 512, whole.len() - 20480] {
        restore(&whole[..cut]);
    }
    let tar = |commands: &str| {
        let made = "rm -rf made && mkdir -p made/data && cd made && : >end && ";
        passed(&owner.here(host, &format!("{made}{commands}")));
        fs::read(owner.dir.join("made/out.tar")).unwrap()
    };
    for commands in [
        "echo x >data/x && tar -cPf out.tar --transform 's|data/x|data/../../../etc/cron.d/x|' data end",
        "echo x >data/x && tar -cPf out.tar --transform 's|data/x|/etc/cron.d/x|' data end",
        "echo x >x && tar -cf out.tar data x end",
        "rmdir data && ln -s /etc data && tar -cf out.tar data end",
        "ln -s /etc/shadow env && tar -cf out.tar data env end",
        "ln -s /etc data/l && tar -cf out.tar data && rm data/l && mkdir data/l && echo x >data/l/x && tar -rf out.tar data/l/x end",
        "echo x >env && ln env data/l && tar -cf out.tar data env end",
        "mkdir -p migrated/d && tar -cf out.tar data migrated end",
        "mknod data/disk b 8 0 && tar -cf out.tar data end",
    ] {
        restore(&tar(commands));
    }
    assert_eq!(host.inside("ls /etc/cron.d /etc/x 2>/dev/null | grep -cx x || true; rm -f /root/given.tar"), "0");
}
