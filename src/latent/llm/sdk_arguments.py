"""Arguments of other libraries: no API has such fields, and servers ignore them without a word."""

from __future__ import annotations

_HEADERS = "write headers={...}"
_QUERY = "write the query into base_url=: 'https://.../v1?name=value'"
_FIELDS = "write its fields as parameters of their own: Model(..., name=value)"
_ADDRESS = "write base_url="
_CLIENT = "latent sends requests itself: leave it out"

WRITTEN_AS = {
    # openai, anthropic
    "extra_headers": _HEADERS,
    "default_headers": _HEADERS,
    "extra_body": _FIELDS,
    "extra_query": _QUERY,
    "default_query": _QUERY,
    "timeout": "write timeout_seconds=",
    "max_retries": "write retries=",
    "organization": "set OPENAI_ORG_ID, or write headers={'openai-organization': ...}",
    "project": "set OPENAI_PROJECT_ID, or write headers={'openai-project': ...}",
    "http_client": _CLIENT,
    "http_async_client": _CLIENT,
    "async_client": _CLIENT,
    # Azure
    "api_version": "write it into base_url=: 'https://.../openai/deployments/NAME?api-version=2024-10-21'",
    "azure_endpoint": _ADDRESS,
    "azure_deployment": "write it into base_url=: 'https://.../openai/deployments/NAME?api-version=...'",
    "azure_ad_token": "write headers={'authorization': 'Bearer ...'}",
    # litellm, LangChain, LlamaIndex, instructor
    "api_base": _ADDRESS,
    "openai_api_base": _ADDRESS,
    "openai_api_key": "write api_key=",
    "request_timeout": "write timeout_seconds=",
    "num_retries": "write retries=",
    "model_kwargs": _FIELDS,
    "additional_kwargs": _FIELDS,
    "generation_config": _FIELDS,
    "custom_llm_provider": "it is what stands before the colon: 'provider:model'",
    "drop_params": "leave it out",
    "callbacks": "leave it out: runs record each call",
    "response_model": "write complete(..., output=CLASS)",
    "response_format": "write complete(..., output=CLASS)",
    "output_format": "write complete(..., output=CLASS)",
    "system_prompt": "write system=",
    "system_instruction": "write system=",
    "instructions": "write system=",
    "n": "write repeat= for further answers to a prompt",
    "stream": "answers come whole: leave it out",
}
"""How what an argument means elsewhere is written here."""
