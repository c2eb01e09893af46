//! Answers from outside the tree: read somewhere, or the result of an effect.
//! Both are recorded here, since no kernel knows them.

use std::future::Future;
use std::sync::Arc;

use super::{Begun, HostCalls, cancelled};
use crate::call::{Call, CallError};
use crate::journal::{Answer, Asked, NO_ARGUMENTS};

impl HostCalls {
    /// An answer from outside that leaves nothing changed there: `work` runs once
    /// in all lives of the guest, or again where the host died before its answer
    /// was on disk. `what` and `hash` say what is asked, see
    /// [`crate::journal::hash`].
    pub async fn recorded<F>(
        &mut self,
        what: &'static str,
        hash: u64,
        work: impl FnOnce() -> F,
    ) -> Result<Vec<u8>, CallError>
    where
        F: Future<Output = Result<Vec<u8>, CallError>> + Send,
    {
        let Begun { call, answer, .. } = self.begin(what, || hash).await?;
        match answer {
            Some(answer) => self.recall_bytes(answer).await.map(|bytes| bytes.to_vec()),
            None => self.fresh(Asked { call, what, hash }, work()).await,
        }
    }

    /// Like [`HostCalls::recorded`], for what is never refused. A run that is being
    /// cancelled is answered too, and that is not recorded.
    pub(crate) async fn recorded_unrefused(
        &mut self,
        what: &'static str,
        work: impl FnOnce() -> Result<Vec<u8>, CallError> + Send,
    ) -> Result<Vec<u8>, CallError> {
        if self.is_gone() {
            return work();
        }
        self.charged();
        let Begun { call, answer, .. } = self.begin_unrefused(what, || NO_ARGUMENTS).await;
        match answer {
            Some(answer) => self.recall_bytes(answer).await.map(|bytes| bytes.to_vec()),
            None => self.fresh(Asked { call, what, hash: NO_ARGUMENTS }, async { work() }).await,
        }
    }

    /// An effect outside. That it is about to be done is on disk before `effect`
    /// begins; where the host dies before its result is too, it is done again
    /// with the same idempotency key.
    pub async fn outside<F>(
        &mut self,
        what: &'static str,
        hash: u64,
        effect: impl FnOnce(Arc<str>) -> F,
    ) -> Result<Vec<u8>, CallError>
    where
        F: Future<Output = Result<Vec<u8>, CallError>> + Send,
    {
        let Begun { call, answer, .. } = self.begin(what, || hash).await?;
        let asked = Asked { call, what, hash };
        let key = match answer {
            Some(Answer::Intended { key }) => key,
            Some(answer) => return self.recall_bytes(answer).await.map(|bytes| bytes.to_vec()),
            None => self.intend(asked).await?,
        };
        self.fresh(asked, effect(key)).await
    }

    /// Has it recorded that something is about to be done.
    async fn intend(&mut self, asked: Asked) -> Result<Arc<str>, CallError> {
        let key: Arc<str> = format!("{}/{}/{}", self.run_id(), self.lineage().attempt, asked.call).into();
        let entry = asked.intended(&key);
        if self.count(entry.bytes()) {
            self.ask(false, |reply| Call::Intend { entry, reply }).await?;
        } else {
            std::future::pending::<()>().await;
        }
        Ok(key)
    }

    /// Waits for an answer, or for the run's cancellation, and records it.
    async fn fresh(
        &mut self,
        asked: Asked,
        work: impl Future<Output = Result<Vec<u8>, CallError>> + Send,
    ) -> Result<Vec<u8>, CallError> {
        let answered = tokio::select! {
            biased;
            answered = work => answered,
            () = self.vitals.cancelled() => return Err(cancelled()),
        };
        let answer = match answered {
            Err(CallError::Denied(denial)) => Err(self.deny(*denial)),
            answer => answer,
        };
        let entry = match &answer {
            Ok(bytes) => asked.given(bytes.clone()),
            Err(error) => asked.failed(error),
        };
        self.record(entry);
        answer
    }
}
