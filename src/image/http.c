#include "image/http.h"

#include <curl/curl.h>
#include <pthread.h>

static pthread_once_t once = PTHREAD_ONCE_INIT;
static CURLcode initialised;

static void init(void)
{
	initialised = curl_global_init(CURL_GLOBAL_DEFAULT);
}

int http_init(struct error *err)
{
	(void)pthread_once(&once, init);
	return initialised == CURLE_OK ? 0
				       : error_set(err, ERR_INTERNAL, "initialise libcurl: %s", curl_easy_strerror(initialised));
}
