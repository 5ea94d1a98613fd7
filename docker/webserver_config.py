"""Settings of FAB, which signs users in to Airflow's pages in production: see docs/how-to/signing_on.md.

Airflow reads the file that `AIRFLOW__FAB__CONFIG_FILE` names. Names in capitals are settings of FAB and Flask.
"""

import hashlib
import os

from flask_appbuilder.const import AUTH_DB, AUTH_OAUTH
from itsdangerous import Signer

from include.sign_on import provider
from tributary.sign_on import ProviderClient, SignOn, validate_password

SECURITY_MANAGER_CLASS = SignOn
PROVIDER = provider.read(os.environ)

# The signatures of session ids and forms; the default is SHA-1.
Signer.default_digest_method = staticmethod(hashlib.sha256)

# Local users, if there is no identity provider. FAB's own forms apply the password policy by these settings.
AUTH_TYPE = AUTH_OAUTH if PROVIDER else AUTH_DB
FAB_PASSWORD_COMPLEXITY_ENABLED = True
FAB_PASSWORD_COMPLEXITY_VALIDATOR = validate_password

if PROVIDER:
    # Authorization code with PKCE. Authlib checks state and nonce, and signature, issuer, audience and times of the ID token.
    OAUTH_PROVIDERS = [
        {
            "name": provider.NAME,
            "icon": "fa-key",
            "token_key": "access_token",
            "remote_app": {
                "client_cls": ProviderClient,
                "client_id": PROVIDER.client_id,
                "client_secret": PROVIDER.client_secret,
                "server_metadata_url": f"{PROVIDER.issuer}/.well-known/openid-configuration",
                # If the firm requires a strength, request it, so that the provider asks for the second factor.
                "authorize_params": {"acr_values": " ".join(PROVIDER.acr)} if PROVIDER.acr else {},
                "client_kwargs": {"scope": PROVIDER.scopes, "code_challenge_method": "S256", "default_timeout": 10},
            },
        }
    ]
    AUTH_ROLES_MAPPING = {group: [role] for group, role in PROVIDER.roles.items()}
    AUTH_ROLES_SYNC_AT_LOGIN = True
