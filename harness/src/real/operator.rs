//! What the operator is asked about a trial and may answer; questions in the terminal.

use std::io::BufRead;

use anyhow::{Context, Result};

/// A trial that is to be judged.
#[derive(Debug, Clone)]
pub struct Question {
    /// Trials that are judged, and all of the session.
    pub done: usize,
    /// All trials of the session.
    pub total: usize,
    /// The suite.
    pub suite: String,
    /// Its task.
    pub task: u16,
    /// The trial: which placement to set up.
    pub trial: u16,
    /// The instruction.
    pub instruction: String,
    /// Names of the stages before success.
    pub partial: Vec<String>,
    /// What is to be done: the robot is about to move, or has stopped.
    pub step: Step,
    /// What became of the last trial.
    pub last: Option<String>,
}

/// What the operator is asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Set the scene, let the robot act, and judge.
    Judge,
    /// Set the scene; the robot is driven when that is done.
    SetScene,
    /// The robot was driven and has stopped: judge.
    JudgeDriven,
}

/// What the operator answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The scene is set.
    Ready,
    /// The robot succeeded.
    Success(String),
    /// It failed after so many stages, 0 without any.
    Failure(u16, String),
    /// The trial says nothing about the policy, for example after a fault of the robot.
    Void(String),
    /// The last answer was wrong: ask about that trial again.
    Back,
    /// The session ends here for now.
    Quit,
}

/// Someone who judges trials.
pub trait Operator {
    /// Asks until there is an answer that the question allows.
    ///
    /// # Errors
    /// When nobody can be asked.
    fn ask(&mut self, question: &Question) -> Result<Answer>;
}

impl Question {
    /// Reads an answer: a letter, for `p` the stage, then a note.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(&self, text: &str) -> Result<Answer, String> {
        let (letter, rest) = first_word(text);
        let note = rest.to_owned();
        match (letter, self.step) {
            ("q", _) => Ok(Answer::Quit),
            ("b", _) if self.last.is_some() => Ok(Answer::Back),
            ("b", _) => Err("there is no earlier answer in this session".into()),
            ("v", _) if note.is_empty() => Err("say what was wrong: v NOTE".into()),
            ("v", _) => Ok(Answer::Void(note)),
            ("", Step::SetScene) => Ok(Answer::Ready),
            (_, Step::SetScene) => {
                Err("press Enter when the scene is set, or type v, b or q".into())
            }
            ("s", _) => Ok(Answer::Success(note)),
            ("f", _) => Ok(Answer::Failure(0, note)),
            ("p", _) => self.read_partial(rest),
            _ => Err(format!("`{text}` is not an answer: type {}", self.letters())),
        }
    }

    fn read_partial(&self, rest: &str) -> Result<Answer, String> {
        let most = self.partial.len();
        let (stage, note) = first_word(rest);
        match stage.parse::<u16>() {
            Ok(stage) if (1..=most).contains(&usize::from(stage)) => {
                Ok(Answer::Failure(stage, note.to_owned()))
            }
            _ if most == 0 => Err("this suite has no stages: type f".into()),
            _ => Err(format!("name the last stage that was reached, 1 to {most}: p STAGE")),
        }
    }

    fn letters(&self) -> &'static str {
        match self.partial.is_empty() {
            true => "s, f, v, b or q",
            false => "s, f, p, v, b or q",
        }
    }

    /// The question for a terminal.
    pub fn text(&self) -> String {
        let Self { done, total, suite, task, trial, instruction, .. } = self;
        let mut text = String::new();
        if let Some(last) = &self.last {
            text += &format!("  {last}\n");
        }
        text += &format!(
            "\n{} of {total}: {suite}, task {task}, placement {trial}\n  {instruction}\n",
            done + 1
        );
        text += match self.step {
            Step::Judge => "  Set the scene, let the robot act, then type\n",
            Step::SetScene => return text + "  Set the scene, then press Enter (v NOTE, b, q)\n",
            Step::JudgeDriven => "  The robot has stopped. Type\n",
        };
        text += "    s [NOTE]        success\n    f [NOTE]        failure\n";
        for (stage, name) in (1..).zip(&self.partial) {
            text += &format!("    p {stage} [NOTE]      failure, but it {name}\n");
        }
        text + "    v NOTE          void, for example a fault of the robot: repeated later\n    \
                b, q            back to the last answer, quit\n"
    }
}

fn first_word(text: &str) -> (&str, &str) {
    let text = text.trim();
    let (word, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    (word, rest.trim())
}

/// The operator at the terminal: a line per answer.
pub struct Terminal<R> {
    /// Where lines are read.
    pub input: R,
}

impl<R: BufRead> Operator for Terminal<R> {
    fn ask(&mut self, question: &Question) -> Result<Answer> {
        print!("{}", question.text());
        loop {
            print!("> ");
            let mut line = String::new();
            let length = self.input.read_line(&mut line).context("cannot read the terminal")?;
            if length == 0 {
                return Ok(Answer::Quit);
            }
            match question.read(&line) {
                Ok(answer) => return Ok(answer),
                Err(reason) => println!("  {reason}"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question(step: Step) -> Question {
        Question {
            done: 6,
            total: 30,
            suite: "seen".into(),
            task: 1,
            trial: 12,
            instruction: "stack the bowls".into(),
            partial: vec!["touched it".into(), "grasped it".into()],
            step,
            last: None,
        }
    }

    #[test]
    fn an_answer_is_a_letter_and_a_note() {
        let question = question(Step::Judge);
        for (text, expected) in [
            ("s", Answer::Success(String::new())),
            (" s  after a slip \n", Answer::Success("after a slip".into())),
            ("f", Answer::Failure(0, String::new())),
            ("p 2 fell", Answer::Failure(2, "fell".into())),
            ("v gripper fault", Answer::Void("gripper fault".into())),
            ("q", Answer::Quit),
        ] {
            assert_eq!(question.read(text), Ok(expected), "{text}");
        }
        for wrong in ["", "x", "ss", "p", "p 0", "p 3", "p -1", "v", "b"] {
            assert!(question.read(wrong).is_err(), "{wrong}");
        }
        let again = Question { last: Some("seen".into()), ..question };
        assert_eq!(again.read("b"), Ok(Answer::Back));
    }

    #[test]
    fn the_robot_is_driven_only_after_the_scene_is_set() {
        let question = question(Step::SetScene);
        assert_eq!(question.read("\n"), Ok(Answer::Ready));
        assert!(question.read("s").is_err());
        assert_eq!(question.read("v camera is off"), Ok(Answer::Void("camera is off".into())));
    }

    #[test]
    fn the_terminal_asks_until_it_understands_and_its_end_is_no_answer() {
        let mut terminal = Terminal { input: "what?\n\np 9\np 1\n".as_bytes() };
        let question = question(Step::Judge);
        assert_eq!(terminal.ask(&question).unwrap(), Answer::Failure(1, String::new()));
        assert_eq!(terminal.ask(&question).unwrap(), Answer::Quit);
    }
}
