//! What a host says: events, answers of a probe, apt's status and apt's complaints.

use super::apt::{Apt, fault};
use super::event::Line;
use super::observed::Observed;
use crate::fuzz::Reader;

pub(crate) const READERS: &[Reader] = &[
    Reader {
        name: "host-events",
        read: |bytes| {
            let text = String::from_utf8_lossy(bytes);
            let lines = text.lines().filter_map(Line::read).map(|line| format!("{line:?}"));
            lines.map(|line| line.chars().take(20).collect::<String>()).take(3).collect()
        },
        seeds: &[
            b"{\"event\":\"started\",\"id\":\"file:/x\"}\n\
              {\"event\":\"done\",\"id\":\"file:/x\",\"undo\":{\"how\":\"restore\",\"before\":\"/var/x\"}}\n\
              {\"event\":\"end\"}",
            b"{\"event\":\"waiting\",\"seconds\":9}\n\
              {\"event\":\"apt\",\"line\":\"pmstatus:x:1:Unpacking curl\"}\n\
              {\"event\":\"left\",\"id\":\"x\",\"code\":1,\"log\":\"no\"}",
            b"Welcome\n{\"root\":\"needs-password\"}\n\
              {\"event\":\"failed\",\"id\":\"x\",\"code\":73,\"log\":\"\\u001b[2J\"}",
        ],
    },
    Reader {
        name: "host-probe",
        read: |bytes| {
            let text = String::from_utf8_lossy(bytes);
            let mut seen = Observed::default();
            let mut section = "os";
            for line in text.lines() {
                match line.strip_prefix('@') {
                    Some(next) => section = next,
                    None => seen.take(section, line),
                }
            }
            let counts = [seen.os.len(), seen.paths.len(), seen.accounts.len(), seen.units.len(), seen.sshd.len()];
            let more =
                [seen.groups.len(), seen.hashes.len(), seen.texts.len(), seen.packages.len(), seen.settings.len()];
            let known =
                [counts, more].concat().iter().map(|count| count.min(&2).to_string()).collect::<Vec<_>>().join(".");
            let known = known.replace('0', "a").replace('1', "b").replace('2', "c");
            let ports = seen.sshd_ports().len().min(2);
            let _ = (seen.groups_of("agent"), seen.version("curl"), seen.text("/etc/x"), ports);
            known
        },
        seeds: &[
            b"@os\nID=debian\nVERSION_ID=\"12\"\n@fact\nsystemd yes\n@path\nf\t644\troot\troot\t/etc/x\t\n\
              l\t777\tagent\tagent\t/home/agent/y\t/etc\n@sshd\nport 22\nport [::]:2222\n\
              listenaddress [::]:22\n@end\n",
            b"@account\nagent:x:1001:1001:,,,:/home/agent:/bin/bash\n@group\nsudo:x:27:operator,agent\n\
              @subuid\nagent:100000:65536\n@shadow\nagent:!:19000:0:99999:7:::\n@unit\nId=ssh.service\n\
              LoadState=loaded\nActiveState=active\nUnitFileState=enabled\nNeedDaemonReload=no\n",
            b"@hash\n0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef  /etc/x\n@text\n\
              /etc/x:line\n@line\n/etc/x:line\n@package\ncurl 7.88.1-10+deb12u5\n@setting\n\
              w net.ipv4.ip_forward 1\n@home\nagent path f\t644\tagent\tagent\t/home/agent/x\t\n",
        ],
    },
    Reader {
        name: "apt-status",
        read: |bytes| {
            let mut apt = Apt::default();
            let text = String::from_utf8_lossy(bytes);
            text.lines().filter_map(|line| apt.take(line)).map(|said| format!("{said:?}")).take(3).collect()
        },
        seeds: &[
            b"lock:12:60:apt-get\ntotal:7\nlists\ndlstatus:1:9.5:Retrieving file 1 of 3 (5min remaining)\n\
              pmstatus:curl:20:Unpacking curl (amd64)\npmstatus:curl:40:Configuring curl",
            b"total:18446744073709551615\ntotal:1\nlists:",
        ],
    },
    Reader {
        name: "apt-faults",
        read: |bytes| format!("{:?}", fault(&String::from_utf8_lossy(bytes))),
        seeds: &[
            b"Process 12 (apt) still has the lock after 60 s",
            b"E: Could not resolve 'deb.debian.org'\nTemporary failure resolving 'x'",
            b"Could not connect to http://deb.debian.org:80 (1.2.3.4), connection timed out\n\
              404  Not Found http://x/y\nnot valid yet\nNO_PUBKEY 0123",
        ],
    },
];
