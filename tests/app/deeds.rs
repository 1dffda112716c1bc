//! What a runbook asks to be done, piece by piece: each block of commands, each command within a sentence, and each step that has neither.

/// The sections that ask for something to be done; what one looks at changes nothing and is run whole.
const SECTIONS: [&str; 3] = ["What to do", "It is over when", "Undo"];

/// Where runbooks and procedures are.
const FOLDERS: [&str; 2] = ["docs/runbooks/", "docs/procedures/"];

/// The name of the runbook or procedure at this path.
pub(crate) fn named(path: &str) -> Option<&str> {
    let name = FOLDERS.iter().find_map(|folder| path.strip_prefix(folder))?.strip_suffix(".md")?;
    (name != "README").then_some(name)
}

/// The path of the runbook or procedure of this name.
pub(crate) fn path_of(name: &str, exists: impl Fn(&str) -> bool) -> String {
    let paths = FOLDERS.map(|folder| format!("{folder}{name}.md"));
    paths.into_iter().find(|path| exists(path)).unwrap_or_else(|| panic!("there is no runbook {name}"))
}

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Deed {
    pub(crate) runbook: String,
    pub(crate) section: String,
    /// The commands, or the words of a step without any.
    pub(crate) text: String,
}

/// All that a runbook asks for, in order.
pub(crate) fn deeds(runbook: &str, markdown: &str) -> Vec<Deed> {
    let mut reader = Reader {
        runbook,
        section: String::new(),
        step: String::new(),
        blank: false,
        commands: false,
        found: Vec::new(),
    };
    let mut fence: Option<(usize, String)> = None;
    for line in markdown.lines() {
        let bare = line.trim_start();
        let indent = line.len() - bare.len();
        if let Some((indent, body)) = &mut fence {
            if bare == "```" {
                let body = std::mem::take(body);
                fence = None;
                reader.block(body);
            } else {
                *body += line.get(*indent..).unwrap_or_default();
                body.push('\n');
            }
        } else if let Some(heading) = line.strip_prefix("## ") {
            reader.end();
            heading.clone_into(&mut reader.section);
        } else if bare.starts_with("```") {
            fence = Some((indent, String::new()));
        } else if bare.is_empty() {
            reader.blank = true;
        } else if line.starts_with("### ") {
            reader.end();
        } else {
            // What is expected belongs to what was done.
            if is_item(line) || (indent == 0 && reader.blank && !line.starts_with("Expected")) {
                reader.end();
            }
            reader.say(bare);
        }
    }
    reader.end();
    reader.found
}

/// Whether a step of a list begins here.
fn is_item(line: &str) -> bool {
    line.starts_with("- ") || line.split_once(". ").is_some_and(|(number, _)| number.parse::<u8>().is_ok())
}

struct Reader<'a> {
    runbook: &'a str,
    section: String,
    step: String,
    blank: bool,
    commands: bool,
    found: Vec<Deed>,
}

impl Reader<'_> {
    fn say(&mut self, line: &str) {
        self.step += line;
        self.step.push(' ');
        self.blank = false;
    }

    /// The first command of a runbook is above its sections.
    fn block(&mut self, text: String) {
        if self.section.is_empty() {
            self.commands = true;
            self.found.push(Deed { runbook: self.runbook.to_owned(), section: String::new(), text });
        } else {
            self.add(text);
        }
    }

    fn add(&mut self, text: String) {
        self.commands = true;
        if SECTIONS.contains(&self.section.as_str()) {
            let (runbook, section) = (self.runbook.to_owned(), self.section.clone());
            self.found.push(Deed { runbook, section, text });
        }
    }

    /// The step is whole: its commands, or itself.
    fn end(&mut self) {
        let step = std::mem::take(&mut self.step);
        for span in step.split('`').skip(1).step_by(2).filter(|span| is_command(span)) {
            self.add(span.to_owned());
        }
        if !std::mem::take(&mut self.commands) && !step.trim().is_empty() {
            self.add(step.trim().to_owned());
            self.commands = false;
        }
    }
}

/// A word alone is the name of something, and so is what an answer or a setting is set to.
fn is_command(span: &str) -> bool {
    span.contains(' ') && !span.contains(" = ")
}
