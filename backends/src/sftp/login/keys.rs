//! Logging in with keys: of the agent, of files.

use std::path::Path;
use std::sync::Arc;

use russh::MethodKind;
use russh::keys::agent::AgentIdentity;
use russh::keys::agent::client::AgentClient;
use russh::keys::{Algorithm, HashAlg, PrivateKey, PrivateKeyWithHashAlg, PublicKey};
use tokio::net::UnixStream;

use super::identity::{self, Candidate, From};
use super::{ANSWER, Attempt, answer};
use crate::Result;
use crate::sftp::errors::lost;
use crate::sftp::known_hosts::fingerprint;

type SshAgent = AgentClient<UnixStream>;

/// What became of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Offered {
    /// One is in.
    Taken,
    /// The server wants another one, or more than this.
    Refused,
    /// It could not be used here.
    Unusable,
}

impl Attempt<'_> {
    pub(super) async fn by_keys(&mut self) -> Result<bool> {
        let mut client = self.agent().await;
        let candidates = self.candidates(client.as_mut()).await?;
        let mut refused = Vec::new();
        for candidate in candidates {
            let print = fingerprint(&candidate.public);
            if !self.takes(MethodKind::PublicKey) {
                break;
            }
            // The file of a key that the agent has too: servers count how often one tries.
            if refused.contains(&print) {
                continue;
            }
            let before = self.methods.clone();
            match self.offer(&candidate, client.as_mut()).await? {
                Offered::Taken => {
                    self.secrets.keep_taken(self.hop, &candidate.public);
                    return Ok(true);
                }
                Offered::Refused => refused.push(print),
                Offered::Unusable => {}
            }
            // A part of what the server wants: it asks for something else now.
            if self.methods != before {
                self.secrets.keep_taken(self.hop, &candidate.public);
                break;
            }
        }
        Ok(false)
    }

    async fn agent(&mut self) -> Option<SshAgent> {
        let path = self.hop.agent.as_ref()?;
        match answer(AgentClient::connect_uds(path)).await {
            Ok(client) => Some(client),
            Err(error) => {
                self.trouble(&format!("the agent at {}", path.display()), &error);
                None
            }
        }
    }

    /// The keys to offer: those of the agent that are among the key files, the agent's others, the
    /// key files; first of all the one that worked before.
    async fn candidates(&mut self, client: Option<&mut SshAgent>) -> Result<Vec<Candidate>> {
        let mut of_files = self.of_files()?;
        let of_agent = self.of_agent(client).await;
        let is_named = |key: &PublicKey| {
            let mut files = of_files.iter();
            files.any(|file: &Candidate| file.public.key_data() == key.key_data())
        };
        let (named, others): (Vec<_>, Vec<_>) = of_agent.into_iter().partition(is_named);
        for file in &of_files {
            if let From::Elsewhere(path) = &file.from
                && !named.iter().any(|key| key.key_data() == file.public.key_data())
            {
                let shown = path.display();
                let trouble =
                    format!("the private half of {shown} is not there, nor with the agent");
                self.troubles.push(trouble);
            }
        }
        of_files.retain(|file| !matches!(file.from, From::Elsewhere(_)));
        let others = if self.hop.identities_only { Vec::new() } else { others };
        let of_agent =
            named.into_iter().chain(others).map(|public| Candidate { public, from: From::Agent });
        let mut candidates: Vec<Candidate> = of_agent.chain(of_files).collect();
        let taken = self.secrets.taken(self.hop);
        candidates.sort_by_key(|candidate| Some(fingerprint(&candidate.public)) != taken);
        Ok(candidates)
    }

    fn of_files(&mut self) -> Result<Vec<Candidate>> {
        let mut found = Vec::new();
        for identity in &self.hop.identities {
            match identity::read(identity) {
                Ok(candidate) => found.extend(candidate),
                Err(error) if identity.is_asked_for => return Err(error),
                Err(error) => self.trouble("a key file", &error),
            }
        }
        Ok(found)
    }

    async fn of_agent(&mut self, client: Option<&mut SshAgent>) -> Vec<PublicKey> {
        let Some(client) = client else {
            return Vec::new();
        };
        match answer(client.request_identities()).await {
            Ok(identities) => identities.into_iter().filter_map(identity::plain).collect(),
            Err(error) => {
                self.trouble("the agent", &error);
                Vec::new()
            }
        }
    }

    async fn offer(
        &mut self,
        candidate: &Candidate,
        client: Option<&mut SshAgent>,
    ) -> Result<Offered> {
        let hash = self.hash(&candidate.public).await;
        let (kind, print) = (candidate.public.algorithm(), fingerprint(&candidate.public));
        match (&candidate.from, client) {
            (From::Agent, Some(client)) => {
                self.tried.push(format!("key {kind} {print} of the agent"));
                self.offer_of_agent(&candidate.public, hash, client).await
            }
            (From::File(file, opened), _) => {
                let shown = file.display();
                self.tried.push(format!("key {kind} {print} of {shown}"));
                let opened = opened.clone();
                self.offer_of_file(candidate, hash, file, opened).await
            }
            (From::Agent, None) | (From::Elsewhere(_), _) => Ok(Offered::Unusable),
        }
    }

    async fn offer_of_agent(
        &mut self,
        key: &PublicKey,
        hash: Option<HashAlg>,
        client: &mut SshAgent,
    ) -> Result<Offered> {
        let user = self.hop.user.as_str();
        let signing = self.handle.authenticate_publickey_with(user, key.clone(), hash, client);
        match answer(signing).await {
            Ok(result) => self.judge(&result).map(offered),
            // The agent does not sign with it; there may be others.
            Err(error) if !self.handle.is_closed() => {
                self.trouble("the agent", &error);
                Ok(Offered::Unusable)
            }
            Err(error) => Err(error),
        }
    }

    async fn offer_of_file(
        &mut self,
        candidate: &Candidate,
        hash: Option<HashAlg>,
        file: &Path,
        opened: Option<Arc<PrivateKey>>,
    ) -> Result<Offered> {
        let key = match opened {
            Some(key) => key,
            None if !self.would_take(candidate, hash).await? => return Ok(Offered::Refused),
            None => match self.secrets.open(file) {
                Ok(key) => key,
                Err(error) => {
                    self.trouble("a key file", &error);
                    return Ok(Offered::Unusable);
                }
            },
        };
        let key = PrivateKeyWithHashAlg::new(key, hash);
        let user = self.hop.user.as_str();
        let result = answer(self.handle.authenticate_publickey(user, key)).await?;
        self.judge(&result).map(offered)
    }

    /// Never SHA-1.
    async fn hash(&self, key: &PublicKey) -> Option<HashAlg> {
        if !matches!(key.algorithm(), Algorithm::Rsa { .. }) {
            return None;
        }
        match self.handle.best_supported_rsa_hash().await {
            Ok(Some(Some(hash))) => Some(hash),
            _ => Some(HashAlg::Sha512),
        }
    }

    /// Whether the server would let this key in, found out with its public half alone: nobody is
    /// asked for the passphrase of a key that is of no use.
    async fn would_take(&mut self, candidate: &Candidate, hash: Option<HashAlg>) -> Result<bool> {
        let mut nobody = NobodySigns;
        let (user, key) = (self.hop.user.as_str(), candidate.public.clone());
        let asking = self.handle.authenticate_publickey_with(user, key, hash, &mut nobody);
        match tokio::time::timeout(ANSWER, asking).await {
            Ok(Err(NotSigned::Wanted)) => Ok(true),
            Ok(Ok(result)) => self.judge(&result),
            Ok(Err(NotSigned::Lost)) => Err(self.hung_up()),
            Err(_) => Err(lost("the server did not answer at the login")),
        }
    }
}

fn offered(is_in: bool) -> Offered {
    if is_in { Offered::Taken } else { Offered::Refused }
}

/// Notes that a signature is wanted, and gives none.
struct NobodySigns;

#[derive(Debug)]
enum NotSigned {
    Wanted,
    Lost,
}

impl std::convert::From<russh::SendError> for NotSigned {
    fn from(_: russh::SendError) -> Self {
        Self::Lost
    }
}

impl russh::Signer for NobodySigns {
    type Error = NotSigned;

    async fn auth_sign(
        &mut self,
        _: &AgentIdentity,
        _: Option<HashAlg>,
        _: Vec<u8>,
    ) -> std::result::Result<Vec<u8>, NotSigned> {
        Err(NotSigned::Wanted)
    }
}
