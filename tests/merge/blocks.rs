//! The class of files that merges get wrong: blocks that read the same but for their name.
//!
//! A file has a few such blocks. The user edits one line of one of them, or adds one; the template adds blocks, removes some,
//! or edits a line of all. The edit must end up in the block of that name, or the merge must say that it cannot tell.

use factoryup::repo::merge::text;

use crate::oracle;
use crate::random::Random;
use crate::support::need;

/// How a block is written.
struct Form {
    file: &'static str,
    head: fn(&str) -> String,
    body: &'static [&'static str],
    foot: &'static [&'static str],
    /// A line that the user may add.
    added: &'static str,
}

const FORMS: [Form; 3] = [
    Form {
        file: ".gitlab-ci.yml",
        head: |name| format!("{name}:"),
        body: &[
            "  stage: test",
            "  image: debian:12",
            "  timeout: 10m",
            "  retry: 1",
            "  script:",
            "    - scripts/check",
        ],
        foot: &[""],
        added: "  interruptible: true",
    },
    Form {
        file: "jobs.toml",
        head: |name| format!("[{name}]"),
        body: &["stage = \"test\"", "image = \"debian:12\"", "timeout = 10", "retry = 1"],
        foot: &[""],
        added: "interruptible = true",
    },
    Form {
        file: "main.tf",
        head: |name| format!("resource \"dns_record\" \"{name}\" {{"),
        body: &["  zone = var.zone", "  type = \"A\"", "  ttl  = 300", "  note = \"made by hand\""],
        foot: &["}", ""],
        added: "  tag  = \"mine\"",
    },
];

type Block = (String, Vec<String>);

fn write(form: &Form, blocks: &[Block]) -> String {
    let mut text = String::new();
    for (name, body) in blocks {
        text.push_str(&format!("{}\n", (form.head)(name)));
        for line in body.iter().map(String::as_str).chain(form.foot.iter().copied()) {
            text.push_str(&format!("{line}\n"));
        }
    }
    text
}

/// The lines of the block `name`, without its foot.
fn read<'a>(form: &Form, text: &'a str, name: &str) -> Vec<&'a str> {
    let head = (form.head)(name);
    text.lines().skip_while(|line| *line != head).skip(1).take_while(|line| !form.foot.contains(line)).collect()
}

struct History {
    base: Vec<Block>,
    current: Vec<Block>,
    new: Vec<Block>,
    /// The block the user edited, and the line that must be in it and in no other.
    edited: String,
    line: String,
}

fn history(random: &mut Random, form: &Form) -> History {
    let body: Vec<String> = form.body.iter().map(|line| (*line).to_owned()).collect();
    let base: Vec<Block> = (0..3 + random.below(6)).map(|i| (format!("job_{i}"), body.clone())).collect();
    let mut current = base.clone();
    let at = random.below(current.len());
    let line_at = random.below(body.len());
    let line = if random.once_in(3) {
        current[at].1.insert(line_at, form.added.to_owned());
        form.added.to_owned()
    } else {
        let line = &mut current[at].1[line_at];
        *line = if line.contains("10") { line.replace("10", "3") } else { format!("{line} # mine") };
        line.clone()
    };
    let mut new = base.clone();
    if random.once_in(4) {
        let line = random.below(body.len());
        for (_, body) in &mut new {
            body[line].push_str(" # new");
        }
    }
    for i in 0..=random.below(2) {
        if random.once_in(3) && new.len() > 1 {
            new.remove(random.below(new.len()));
        } else {
            let body = new.first().map_or(body.clone(), |(_, body)| body.clone());
            new.insert(random.below(new.len() + 1), (format!("new_{i}"), body));
        }
    }
    History { edited: current[at].0.clone(), base, current, new, line }
}

#[derive(Default)]
struct Count {
    clean: u32,
    wrong: u32,
}

impl Count {
    fn take(&mut self, form: &Form, history: &History, merged: Option<&[u8]>) -> bool {
        let Some(merged) = merged else { return false };
        self.clean += 1;
        let text = std::str::from_utf8(merged).unwrap();
        let name = |block: &Block| block.0.clone();
        let names: std::collections::BTreeSet<_> = history.base.iter().chain(&history.new).map(name).collect();
        // A block that the template removed took the edit with it, or kept it: both would be a guess.
        let wrong = names
            .iter()
            .any(|name| read(form, text, name).contains(&history.line.as_str()) != (*name == history.edited));
        self.wrong += u32::from(wrong);
        wrong
    }

    #[allow(clippy::cast_precision_loss)]
    fn say(&self, who: &str, of: u32) {
        let share = f64::from(self.wrong) * 100.0 / f64::from(self.clean.max(1));
        println!(
            "  {who:<16} clean {:>6} of {of}, in the wrong block {:>6} ({share:.3} % of clean)",
            self.clean, self.wrong
        );
    }
}

/// Plays `count` histories of each form.
pub(crate) fn play(mut random: Random, count: u32) {
    if !need("git") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    for form in &FORMS {
        let (mut ours, mut git, mut second) = (Count::default(), Count::default(), Count::default());
        for _ in 0..count {
            let history = history(&mut random, form);
            let [base, current, new] =
                [&history.base, &history.current, &history.new].map(|blocks| write(form, blocks).into_bytes());
            let merged = text(form.file, &base, &current, &new).ok();
            let wrong = ours.take(form, &history, merged.as_deref());
            if wrong && ours.wrong < 3 {
                println!("wrong in {}:\n{}", form.file, String::from_utf8_lossy(merged.as_deref().unwrap_or_default()));
            }
            second.take(form, &history, diffy::merge_bytes(&base, &current, &new).ok().as_deref());
            git.take(form, &history, oracle::git(folder.path(), &base, &current, &new).as_deref());
        }
        println!("{}: {count} histories", form.file);
        ours.say("factoryup", count);
        git.say("git merge-file", count);
        second.say("diffy", count);
        assert!(
            u64::from(ours.wrong) * 1000 <= u64::from(ours.clean),
            "{}: more than 0.1 % in the wrong block",
            form.file
        );
        assert!(ours.clean * 2 > git.clean, "{}: it gives up too often", form.file);
    }
}
