//! Everything that keeps a command from starting, collected for one message.

use anyhow::Result;

use crate::exit::Refused;

/// Refusals so far.
#[derive(Debug, Default)]
pub struct Walls {
    refused: Vec<Refused>,
}

impl Walls {
    /// The value, or `None` after noting why it was refused.
    ///
    /// # Errors
    /// What is not a refusal: a fault of the program or the machine.
    pub fn pass<T>(&mut self, result: Result<T>) -> Result<Option<T>> {
        match result {
            Ok(value) => Ok(Some(value)),
            Err(error) => {
                self.refused.push(error.downcast::<Refused>()?);
                Ok(None)
            }
        }
    }

    /// Ends the collection.
    ///
    /// # Errors
    /// [`Refused`] with all that were noted.
    pub fn finish(self) -> Result<()> {
        match Refused::all(self.refused) {
            Some(refused) => Err(refused.into()),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refuse(text: &str, hint: &str) -> Result<()> {
        Err(Refused::new(text).hint(hint).into())
    }

    #[test]
    fn one_wall_is_named_as_it_is_and_several_in_a_list_with_their_next_steps() {
        let mut inner = Walls::default();
        inner.pass(refuse("no files", "fetch them")).unwrap();
        inner.pass(refuse("no driver", "install one")).unwrap();
        let mut walls = Walls::default();
        assert_eq!(walls.pass(Ok(7)).unwrap(), Some(7));
        walls.pass(inner.finish()).unwrap();
        walls.pass(refuse("no checkpoint", "pass one")).unwrap();
        let text = walls.finish().unwrap_err().to_string();
        let expected = "this cannot start yet, for 3 reasons:\n\n  1. no files\n     hint: fetch them\n\n  \
                        2. no driver\n     hint: install one\n\n  3. no checkpoint\n     hint: pass one";
        assert_eq!(text, expected);

        let mut walls = Walls::default();
        walls.pass(refuse("no files", "fetch them")).unwrap();
        let error = walls.finish().unwrap_err();
        let refused = error.downcast_ref::<Refused>().unwrap();
        assert_eq!(
            (refused.to_string().as_str(), refused.next_step()),
            ("no files", Some("fetch them"))
        );
    }

    #[test]
    fn a_fault_is_no_wall() {
        let mut walls = Walls::default();
        assert!(walls.pass::<()>(Err(anyhow::anyhow!("the disk is full"))).is_err());
        assert!(walls.finish().is_ok());
    }
}
