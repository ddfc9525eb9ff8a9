//! The page on which an operator judges a trial on a real robot.

use maud::html;

use super::page::page;

/// A question with its answers as buttons.
#[derive(Debug, Clone, Default)]
pub struct QuestionPage<'a> {
    /// Which trial of how many.
    pub title: &'a str,
    /// What the robot is told.
    pub instruction: &'a str,
    /// What the operator is to do.
    pub step: &'a str,
    /// What became of the last trial.
    pub last: Option<&'a str>,
    /// Why the last answer to this question was not accepted.
    pub error: Option<&'a str>,
    /// Values of the field `answer` with the buttons' labels.
    pub answers: Vec<(String, String)>,
    /// Number of the question, the value of the field `question`.
    pub number: u32,
}

/// The page. Its form is sent to `/answer`, with a text field `note`.
pub fn question_page(question: &QuestionPage<'_>) -> String {
    let body = html! {
        header {
            h1 { (question.title) }
            @if let Some(last) = question.last { p.faint { "Last answer: " (last) } }
        }
        main {
            @if let Some(error) = question.error { p.warning role="alert" { (error) } }
            p { strong { (question.instruction) } }
            p { (question.step) }
            form method="post" action="/answer" {
                input type="hidden" name="question" value=(question.number);
                p {
                    label for="note" { "Note " }
                    input #note type="text" name="note" size="60" maxlength="1000" autocomplete="off";
                }
                @for (value, label) in &question.answers {
                    p { button type="submit" name="answer" value=(value) { (label) } }
                }
            }
        }
        footer { "An answer is stored before the next question is shown." }
    };
    page(question.title, &body, None)
}

/// The page after the last question.
pub fn last_page(text: &str) -> String {
    page("Done", &html! { h1 { "Done" } p { (text) } }, None)
}
