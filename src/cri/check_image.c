/* Requests of the image service. */
#include "cri/check.h"
#include "cri/check_parts.h"
#include "cri/rule.h"
#include "proto/admin.pb-c.h"

static const struct rule spec_rules[] = {
	TEXT(Cri__ImageSpec, image, text_image),
	MAP(Cri__ImageSpec, annotations, CHECK_MAX_MAP_BYTES, text_label_key, text_any),
	TEXT(Cri__ImageSpec, user_specified_image, text_optional_image),
	TEXT(Cri__ImageSpec, image_ref, text_optional_image),
	/* images are the same for every handler: the name decides nothing */
	TEXT(Cri__ImageSpec, runtime_handler, text_handler),
};

static const struct rule auth_rules[] = {
	TEXT(Cri__AuthConfig, username, text_secret),       TEXT(Cri__AuthConfig, password, text_secret),
	TEXT(Cri__AuthConfig, auth, text_secret),           TEXT(Cri__AuthConfig, server_address, text_optional_image),
	TEXT(Cri__AuthConfig, identity_token, text_secret), TEXT(Cri__AuthConfig, registry_token, text_secret),
};

int check_image_spec(const struct field *at, const Cri__ImageSpec *spec, struct error *err)
{
	if (!spec)
		return field_error(at, err, ERR_INVALID, "missing");
	return RULES_APPLY(at, spec_rules, spec, err);
}

int check_image_status(const ProtobufCMessage *request, struct error *err)
{
	return check_image_spec(FIELD(NULL, "image"), ((const Cri__ImageStatusRequest *)request)->image, err);
}

int check_remove_image(const ProtobufCMessage *request, struct error *err)
{
	return check_image_spec(FIELD(NULL, "image"), ((const Cri__RemoveImageRequest *)request)->image, err);
}

/* The pod's configuration decides nothing about a pull, so it is not looked at. */
static int check_pull(const struct field *at, const Cri__PullImageRequest *pull, struct error *err)
{
	if (check_image_spec(FIELD(at, "image"), pull->image, err) < 0)
		return -1;
	return pull->auth ? RULES_APPLY(FIELD(at, "auth"), auth_rules, pull->auth, err) : 0;
}

int check_pull_image(const ProtobufCMessage *request, struct error *err)
{
	return check_pull(NULL, (const Cri__PullImageRequest *)request, err);
}

int check_watch_pull(const ProtobufCMessage *request, struct error *err)
{
	const Cri__PullImageRequest *pull = ((const Admin__PullImageRequest *)request)->pull;
	const struct field *at = FIELD(NULL, "pull");

	return pull ? check_pull(at, pull, err) : field_error(at, err, ERR_INVALID, "missing");
}

static int check_filter(const Cri__ImageFilter *filter, struct error *err)
{
	const struct field *at = FIELD(FIELD(NULL, "filter"), "image");

	if (!filter || !filter->image)
		return 0;
	return text_check(FIELD(at, "image"), &text_optional_image, filter->image->image, err);
}

int check_list_images(const ProtobufCMessage *request, struct error *err)
{
	return check_filter(((const Cri__ListImagesRequest *)request)->filter, err);
}

int check_stream_images(const ProtobufCMessage *request, struct error *err)
{
	return check_filter(((const Cri__StreamImagesRequest *)request)->filter, err);
}
