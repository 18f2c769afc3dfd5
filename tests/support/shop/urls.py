"""The admin; tests bring URLs of their own (``settings.ROOT_URLCONF``)."""

from django.contrib import admin
from django.urls import path

urlpatterns = [path("admin/", admin.site.urls)]
