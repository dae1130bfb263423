//! Logging in with a password, given at once or in answer to the server's questions.

use russh::client::KeyboardInteractiveAuthResponse;
use secrecy::ExposeSecret;

use super::{Attempt, answer};
use crate::Result;

/// How many rounds of questions are answered.
const MAX_ROUNDS: usize = 8;

impl Attempt<'_> {
    pub(super) async fn by_password(&mut self) -> Result<bool> {
        let Some(password) = self.secrets.password(self.hop) else {
            return Ok(false);
        };
        self.tried.push("a password".to_owned());
        let (user, secret) = (self.hop.user.as_str(), password.expose_secret());
        let trying = self.handle.authenticate_password(user, secret);
        let result = answer(trying).await?;
        let is_in = self.judge(&result)?;
        if is_in {
            self.secrets.keep_password(self.hop, password);
        }
        Ok(is_in)
    }

    /// The server asks; what it asks for without showing it is the password.
    pub(super) async fn by_questions(&mut self) -> Result<bool> {
        use KeyboardInteractiveAuthResponse as Reply;
        let Some(password) = self.secrets.password(self.hop) else {
            return Ok(false);
        };
        self.tried.push("a password (keyboard-interactive)".to_owned());
        let user = self.hop.user.as_str();
        let starting = self.handle.authenticate_keyboard_interactive_start(user, None::<String>);
        let mut reply = answer(starting).await?;
        let mut answered = false;
        for _ in 0..MAX_ROUNDS {
            let prompts = match reply {
                Reply::Success => {
                    self.secrets.keep_password(self.hop, password);
                    return Ok(true);
                }
                Reply::Failure { remaining_methods, .. } => {
                    if self.handle.is_closed() {
                        return Err(self.hung_up());
                    }
                    self.methods = remaining_methods.to_vec();
                    return Ok(false);
                }
                Reply::InfoRequest { prompts, .. } => prompts,
            };
            // Asked again: it was wrong, or something else is wanted. One answer is enough.
            let asks = prompts.iter().any(|prompt| !prompt.echo);
            if asks && answered {
                return Ok(false);
            }
            answered |= asks;
            let answers = prompts.iter().map(|prompt| {
                if prompt.echo { String::new() } else { password.expose_secret().to_owned() }
            });
            let answers = answers.collect();
            let responding = self.handle.authenticate_keyboard_interactive_respond(answers);
            reply = answer(responding).await?;
        }
        Ok(false)
    }
}
