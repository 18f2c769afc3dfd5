"""The auth service where its issuer has no path."""

from django.urls import include, path

urlpatterns = [path("", include("tokenward.django.urls"))]
