//! Live mode: the clock follows the wall clock and rounds run by themselves.

use std::{sync::Arc, time::Duration};

use super::{
    answer::{Answer, ApiError, Outcome},
    create::NO_DELAY,
    instances::Instance,
    shapes::AutoProgress,
};

/// The shortest time between two rounds.
pub(super) fn interval(progress: &AutoProgress) -> Duration {
    progress
        .artificial_delay_ms
        .map_or(NO_DELAY, Duration::from_millis)
}

/// Goes live; answers when certificates show the present time.
pub(super) async fn start(instance: Arc<Instance>, progress: AutoProgress) -> Outcome {
    let interval = interval(&progress);
    instance
        .network
        .run(move |actor| {
            if actor.is_live() {
                return Err(ApiError::bad("auto progress mode has already been enabled"));
            }
            actor.set_live(Some(interval));
            actor.certify_now();
            Ok(Answer::null())
        })
        .await?
}

/// Stands still again.
pub(super) async fn stop(instance: Arc<Instance>) -> Outcome {
    instance.network.run(|actor| actor.set_live(None)).await?;
    Ok(Answer::null())
}

/// Whether it is live.
pub(super) async fn enabled(instance: Arc<Instance>) -> Outcome {
    let live = instance.network.run(|actor| actor.is_live()).await?;
    Ok(Answer::of(&live))
}

/// Lets certificates show the present time.
pub(super) async fn certify(instance: &Instance) -> Result<(), ApiError> {
    Ok(instance.network.run(|actor| actor.certify_now()).await?)
}
