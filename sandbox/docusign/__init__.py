"""DocuSign: eSignature REST API v2.1 and Connect."""
