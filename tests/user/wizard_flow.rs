//! The wizard's flow without a terminal: an asker that answers by script, and one that wanders back and forth.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::path::Path;

use factoryup::Result;
use factoryup::factory::answers::Answers;
use factoryup::factory::{Fault, HostKind};
use factoryup::ui::prompt::{Asker, Question, Reply};
use factoryup::wizard::discover::Discovered;
use factoryup::wizard::{Memory, Scope, run};

const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJnsBe7SWfOLDDpmmIM9BNxYUTtCIpsZMPUiINWD8SX8 ada@laptop";
const EVERYTHING: Scope = Scope { only_missing: false, review: true };

/// Answers each question by its prompt; goes back whenever its dice say so.
struct Walker {
    texts: BTreeMap<&'static str, &'static str>,
    choices: BTreeMap<&'static str, &'static str>,
    dice: Cell<u64>,
    /// How many more times it may go back.
    back: Cell<u32>,
    asked: RefCell<Vec<String>>,
}

impl Walker {
    fn new(seed: u64, back: u32) -> Self {
        let texts = [
            ("Name of the factory", "shop"),
            ("Your name", "Ada"),
            ("Your e-mail address", "ada@example.org"),
            ("Address of the host", "203.0.113.7"),
            ("Your public SSH key", KEY),
            ("URL of GitLab", ""),
            ("GitLab group", ""),
            ("Cloudflare account id", "0123456789abcdef0123456789abcdef"),
            ("Cloudflare zone id", "fedcba9876543210fedcba9876543210"),
            ("Domain of the zone", "shop.example"),
        ];
        let choices = [
            ("Where the agent works", "ssh"),
            ("GitLab subscription", "free"),
            ("Coding agent", "both"),
            ("Use Cloudflare", "yes"),
            ("Is this correct?", "yes"),
        ];
        Self {
            texts: texts.into(),
            choices: choices.into(),
            dice: Cell::new(seed),
            back: Cell::new(back),
            asked: RefCell::default(),
        }
    }

    fn goes_back(&self, question: &Question<'_>) -> bool {
        self.asked.borrow_mut().push(question.prompt.to_owned());
        // xorshift64, so that a seed always walks the same way.
        let mut dice = self.dice.get();
        dice ^= dice << 13;
        dice ^= dice >> 7;
        dice ^= dice << 17;
        self.dice.set(dice);
        let back = dice.is_multiple_of(3) && self.back.get() > 0;
        self.back.set(self.back.get() - u32::from(back));
        back
    }
}

impl Asker for Walker {
    fn text(&self, question: &Question<'_>, check: &dyn Fn(&str) -> Result<(), Fault>) -> Result<Reply<String>> {
        if self.goes_back(question) {
            return Ok(Reply::Back);
        }
        let text = self.texts[question.prompt];
        let text = if text.is_empty() { question.preset } else { text };
        check(text).unwrap();
        Ok(Reply::Given(text.to_owned()))
    }

    fn choose(&self, question: &Question<'_>, options: &[String], _: usize) -> Result<Reply<usize>> {
        if self.goes_back(question) {
            return Ok(Reply::Back);
        }
        let word = self.choices[question.prompt];
        Ok(Reply::Given(options.iter().position(|option| option.split(" – ").next() == Some(word)).unwrap()))
    }

    fn pick(&self, question: &Question<'_>, _: &[String], preset: &[usize]) -> Result<Reply<Vec<usize>>> {
        if self.goes_back(question) { Ok(Reply::Back) } else { Ok(Reply::Given(preset.to_vec())) }
    }

    fn say(&self, _: &str) {}

    fn warn(&self, text: &str) {
        panic!("warned: {text}");
    }
}

#[test]
fn however_one_wanders_the_answers_come_out_the_same() {
    let straight = Walker::new(1, 0);
    let expected = run(&straight, &Discovered::default(), Answers::default(), &Memory::none(), EVERYTHING).unwrap();
    assert_eq!((expected.gitlab.group.as_str(), expected.cloudflare.zone.as_str()), ("shop", "shop.example"));
    assert_eq!(straight.asked.borrow().len(), 15);
    let mut detours = 0;
    for seed in 1..200 {
        let walker = Walker::new(seed * 0x9e37_79b9, 40);
        let factory = run(&walker, &Discovered::default(), Answers::default(), &Memory::none(), EVERYTHING).unwrap();
        assert_eq!(factory, expected, "seed {seed}: {:?}", walker.asked.borrow());
        detours += walker.asked.borrow().len() - 15;
    }
    assert!(detours > 2000, "{detours} detours");
}

#[test]
fn what_does_not_apply_is_not_asked() {
    let mut walker = Walker::new(1, 0);
    walker.choices.insert("Where the agent works", "none");
    walker.choices.insert("Use Cloudflare", "no");
    let factory = run(&walker, &Discovered::default(), Answers::default(), &Memory::none(), EVERYTHING).unwrap();
    assert_eq!(factory.host.kind, HostKind::None);
    let asked = walker.asked.borrow();
    for prompt in ["Address of the host", "Your public SSH key", "Cloudflare zone id"] {
        assert!(!asked.iter().any(|other| other == prompt), "{prompt}");
    }
}

#[test]
fn only_what_is_missing_is_asked_when_that_is_wanted() {
    let walker = Walker::new(1, 0);
    let scope = Scope { only_missing: true, review: false };
    run(&walker, &Discovered::default(), Answers::default(), &Memory::none(), scope).unwrap();
    let expected =
        ["Name of the factory", "Your name", "Your e-mail address", "Address of the host", "Your public SSH key"];
    assert_eq!(*walker.asked.borrow(), expected);
}

#[test]
fn a_wizard_goes_on_when_its_answers_cannot_be_kept() {
    struct Quiet(Walker, Cell<u32>);
    impl Asker for Quiet {
        fn text(&self, question: &Question<'_>, check: &dyn Fn(&str) -> Result<(), Fault>) -> Result<Reply<String>> {
            self.0.text(question, check)
        }
        fn choose(&self, question: &Question<'_>, options: &[String], preset: usize) -> Result<Reply<usize>> {
            self.0.choose(question, options, preset)
        }
        fn pick(&self, question: &Question<'_>, options: &[String], preset: &[usize]) -> Result<Reply<Vec<usize>>> {
            self.0.pick(question, options, preset)
        }
        fn say(&self, _: &str) {}
        fn warn(&self, text: &str) {
            assert!(text.contains("cannot save your answers"), "{text}");
            self.1.set(self.1.get() + 1);
        }
    }
    let asker = Quiet(Walker::new(1, 0), Cell::new(0));
    let memory = Memory::at(Path::new("/proc/nowhere"), Path::new("/"));
    run(&asker, &Discovered::default(), Answers::default(), &memory, EVERYTHING).unwrap();
    assert_eq!(asker.1.get(), 1, "said once");
}
