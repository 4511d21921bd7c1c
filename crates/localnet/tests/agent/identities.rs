//! Who may speak for whom.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use candid::Principal;
use ic_agent::{
    Agent, Identity, Signature,
    agent::EnvelopeContent,
    identity::{
        AnonymousIdentity, BasicIdentity, DelegatedIdentity, Delegation, Prime256v1Identity,
        Secp256k1Identity, SignedDelegation,
    },
};

use crate::{agent, canister::install, http_error, start, user};

async fn who(agent: &Agent, canister: &Principal) -> Principal {
    Principal::from_slice(&agent.update(canister, "who").call_and_wait().await.unwrap())
}

#[tokio::test]
async fn every_identity_is_recognised() {
    let network = start();
    let canister = install(&network, &agent(&network, user(1))).await;
    let secp256k1 = ic_secp256k1::PrivateKey::generate_from_seed(&[1]).serialize_rfc5915_pem();
    let p256 =
        ic_secp256r1::PrivateKey::generate_insecure_key_for_testing(1).serialize_rfc5915_pem();
    let identities: Vec<Box<dyn Identity>> = vec![
        Box::new(user(1)),
        Box::new(user(2)),
        Box::new(AnonymousIdentity),
        Box::new(Secp256k1Identity::from_pem(secp256k1).unwrap()),
        Box::new(Prime256v1Identity::from_pem(p256).unwrap()),
        Box::new(delegated(&user(3), user(4), Some(vec![canister]))),
    ];
    let mut seen = Vec::new();
    for identity in identities {
        let sender = identity.sender().unwrap();
        let agent = agent(&network, identity);
        assert_eq!(who(&agent, &canister).await, sender);
        assert!(agent.query(&canister, "get").call().await.is_ok());
        seen.push(sender);
    }
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen.len(), 6, "two identities were the same");
    assert!(
        seen.contains(&user(3).sender().unwrap()),
        "a delegate speaks as its owner"
    );
}

/// `to`, speaking for `from`.
fn delegated(
    from: &BasicIdentity,
    to: BasicIdentity,
    targets: Option<Vec<Principal>>,
) -> DelegatedIdentity {
    let expiration = SystemTime::now() + Duration::from_secs(600);
    let delegation = Delegation {
        pubkey: to.public_key().unwrap(),
        expiration: u64::try_from(expiration.duration_since(UNIX_EPOCH).unwrap().as_nanos())
            .unwrap(),
        targets,
        permissions: None,
    };
    let signature = from
        .sign_delegation(&delegation)
        .unwrap()
        .signature
        .unwrap();
    DelegatedIdentity::new(
        from.public_key().unwrap(),
        Box::new(to),
        vec![SignedDelegation {
            delegation,
            signature,
        }],
    )
    .unwrap()
}

#[tokio::test]
async fn delegations_hold_for_their_targets_only() {
    let network = start();
    let canister = install(&network, &agent(&network, user(1))).await;
    let elsewhere = vec![network.topology().default_subnet().ranges[0].last_id()];
    let agent = agent(&network, delegated(&user(3), user(4), Some(elsewhere)));
    let (status, reason) = http_error(agent.update(&canister, "who").call_and_wait().await);
    assert_eq!(status, 400);
    assert!(reason.contains("not among the targets"), "{reason}");
}

/// Signs something else than what it sends.
struct Forger(BasicIdentity);

impl Identity for Forger {
    fn sender(&self) -> Result<Principal, String> {
        self.0.sender()
    }

    fn public_key(&self) -> Option<Vec<u8>> {
        self.0.public_key()
    }

    fn sign(&self, content: &EnvelopeContent) -> Result<Signature, String> {
        let mut signature = self.0.sign(content)?;
        signature.signature.as_mut().unwrap()[0] ^= 1;
        Ok(signature)
    }
}

/// Claims to be somebody else.
struct Pretender(BasicIdentity, Principal);

impl Identity for Pretender {
    fn sender(&self) -> Result<Principal, String> {
        Ok(self.1)
    }

    fn public_key(&self) -> Option<Vec<u8>> {
        self.0.public_key()
    }

    fn sign(&self, content: &EnvelopeContent) -> Result<Signature, String> {
        self.0.sign(content)
    }
}

#[tokio::test]
async fn forged_requests_are_refused() {
    let network = start();
    let canister = install(&network, &agent(&network, user(1))).await;

    let forger = agent(&network, Forger(user(1)));
    for result in [
        forger.update(&canister, "inc").call_and_wait().await,
        forger.query(&canister, "get").call().await,
        forger.read_state_canister_module_hash(canister).await,
    ] {
        let (status, reason) = http_error(result);
        assert_eq!(status, 400);
        assert!(reason.contains("the signature does not verify"), "{reason}");
    }

    let pretender = agent(&network, Pretender(user(2), user(1).sender().unwrap()));
    let (status, reason) = http_error(pretender.update(&canister, "inc").call_and_wait().await);
    assert_eq!(status, 400);
    assert!(reason.contains("the public key belongs to"), "{reason}");

    let count = agent(&network, user(1))
        .query(&canister, "get")
        .call()
        .await
        .unwrap();
    assert_eq!(count, [0; 4], "a forged call was executed");
}

#[tokio::test]
async fn requests_out_of_their_time_are_refused() {
    let network = start();
    let agent = agent(&network, user(1));
    let canister = install(&network, &agent).await;
    let now = SystemTime::now();
    for time in [
        now - Duration::from_secs(60),
        now + Duration::from_secs(600),
    ] {
        for result in [
            agent
                .update(&canister, "inc")
                .expire_at(time)
                .call_and_wait()
                .await,
            agent.query(&canister, "get").expire_at(time).call().await,
        ] {
            let (status, reason) = http_error(result);
            assert_eq!(status, 400);
            assert!(reason.starts_with("Invalid request expiry: "), "{reason}");
        }
    }
}
